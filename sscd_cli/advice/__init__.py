"""What may be removed, and what only looked at: doubts about pairs, originals among copies."""
