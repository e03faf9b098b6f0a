"""What people decided of copies, what shall be done, and the journal of what was done."""
