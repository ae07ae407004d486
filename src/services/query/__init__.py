"""The query service: the calls that only read."""
