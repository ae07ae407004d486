"""Benchmarks: each checks its result before it times it, and runs the alternative in the same run."""
