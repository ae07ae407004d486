"""SQLite: the stores of one machine, durable in files that several processes may share."""
