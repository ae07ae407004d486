"""The API gateway: it serves HTTP, and passes the calls to the services command and query."""
