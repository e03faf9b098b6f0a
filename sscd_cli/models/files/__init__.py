"""Files that hold networks: read safely, written complete."""
