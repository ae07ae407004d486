"""The modules of client frames. The decoder, the known types and the dispatch are derived from this list."""

from typing import Final

from services.notification.client_frames import auth, drafts, heartbeat, ping, reading, typing
from services.notification.client_frames.table import FrameTable

CLIENT_FRAMES: Final = FrameTable(
    (
        auth.handlers,
        drafts.handlers,
        heartbeat.handlers,
        ping.handlers,
        reading.handlers,
        typing.handlers,
    )
)
