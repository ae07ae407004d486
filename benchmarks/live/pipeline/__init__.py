"""The pipeline: from a stream to the inboxes of instances, and through the whole tier to sockets."""
