"""The receipt writer: from the log to the receipt store."""
