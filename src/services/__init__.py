"""The services that run on the library, and what they share."""
