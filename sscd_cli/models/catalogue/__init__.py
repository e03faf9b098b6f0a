"""Which models there are: known, cached, fetched."""
