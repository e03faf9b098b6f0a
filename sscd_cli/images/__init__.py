"""From names to pixels: where images come from, decoding, resizing."""
