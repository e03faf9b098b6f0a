"""Files that hold many images, one module a kind: tar, zip, Parquet."""
