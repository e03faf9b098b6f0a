"""How well copies are found: metrics, self-made copies."""
