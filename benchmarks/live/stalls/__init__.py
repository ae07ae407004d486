"""How long the event loops of a worker and of an instance stand still."""
