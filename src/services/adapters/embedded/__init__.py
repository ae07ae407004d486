"""Adapters that run inside the process, for one machine and for tests. They keep the promises of the ports."""
