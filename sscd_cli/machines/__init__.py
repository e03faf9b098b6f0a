"""This machine's cores and memory, tasks of a job, a cluster."""
