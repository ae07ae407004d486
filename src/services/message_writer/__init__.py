"""The message writer: from the log to the message store."""
