"""From sources to rows: the one path by which pictures become descriptors."""
