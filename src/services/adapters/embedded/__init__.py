"""Embedded in the process: for one machine and for tests, with the promises of the real ones."""
