"""Where bytes lie: here or on a server, written complete or not at all."""
