"""Files with rows to import: JSON Lines and Parquet."""
