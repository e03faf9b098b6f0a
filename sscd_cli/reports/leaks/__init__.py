"""What `sscd leaks` found: one module a format, all of one result."""
