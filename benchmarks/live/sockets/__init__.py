"""The notification service and a bare `websockets` server, each with many clients, in processes of their own."""
