"""The notification service and a bare `websockets` server, each with many clients.

`turns` and `idle` lead: they start a server (`notification_server`, or `websockets_server` as the alternative) and
clients (`load_clients`), each in a process of its own, and call the methods that those serve. `channels` says who reads
which channel.
"""
