"""The descriptor dataset: a folder of Parquet shards that `embed` writes and the others read."""
