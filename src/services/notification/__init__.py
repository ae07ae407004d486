"""The notification service: from an instance's inbox to its clients' sockets, and back from them."""
