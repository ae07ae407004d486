"""What runs where: the table of backends, the table of services, and the process in which they meet."""
