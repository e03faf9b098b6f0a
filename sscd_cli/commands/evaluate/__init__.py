"""What each command of `sscd eval` does."""
