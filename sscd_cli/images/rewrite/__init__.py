"""Sources written again without some of their images, one module a kind; all else stays."""
