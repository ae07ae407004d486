"""Connects services and adapters: the table of backends, the table of services, and the process that runs them."""
