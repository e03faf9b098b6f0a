"""All pairs of a dataset: whole, in tasks of many machines, merged into one report."""
