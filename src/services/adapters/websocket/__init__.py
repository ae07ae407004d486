"""WebSockets, RFC 6455: the `websockets` library's protocol without its connections, between asyncio and the handler.

The library parses frames, answers pings and rejects malformed ones. The reading and writing of bytes is done here:
reads are bounded, the raw descriptor can be acquired, and an idle connection takes a third of the library's memory.
"""

from services.adapters.websocket.connection import READ_AT_ONCE
from services.adapters.websocket.server import BACKLOG, serving_websockets

__all__ = ["BACKLOG", "READ_AT_ONCE", "serving_websockets"]
