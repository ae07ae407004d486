"""WebSockets, RFC 6455: the `websockets` library's protocol without its connections, between asyncio and the handler.

The library parses, answers pings and judges what is malformed. What is ours is how bytes come and go: bounded reads, a
descriptor that is lent, and a third of the memory for each idle connection.
"""

from services.adapters.websocket.connection import READ_AT_ONCE
from services.adapters.websocket.server import BACKLOG, serving_websockets

__all__ = ["BACKLOG", "READ_AT_ONCE", "serving_websockets"]
