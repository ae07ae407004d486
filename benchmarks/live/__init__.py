"""Measurements of services that run: with servers, sockets and processes, and not of the library alone."""
