"""The options of each command family: types, ranges, defaults, help."""
