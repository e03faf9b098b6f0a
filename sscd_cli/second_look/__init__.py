"""How alike two pictures are, pixel by pixel: one brought over the other, and what is left."""
