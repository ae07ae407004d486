"""The command service: the calls that change something."""
