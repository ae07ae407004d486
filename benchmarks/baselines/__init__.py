"""The alternatives that the engine is measured against: honest, tuned, and checked to give the same answers."""
