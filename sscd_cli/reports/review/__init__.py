"""The page on which people decide about copies, and the server that shows it."""
