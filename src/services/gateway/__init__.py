"""The API gateway: HTTP, and nothing behind it."""
