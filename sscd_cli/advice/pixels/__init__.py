"""What the pixels of two pictures say: one shot or two, and which was made from the other."""
