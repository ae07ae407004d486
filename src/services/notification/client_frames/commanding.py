"""The part that handlers of frames share which hand a command on to the command service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from fanout.error_codes import UNAVAILABLE
from fanout.errors import CallRejected, Unavailable
from services.notification.client_frames.handlers import BadFrame

ANSWERED_WITHIN_S: Final = 10.0
"""Seconds for a command. The client's heartbeats wait behind it, so it ends long before they are missed."""


@asynccontextmanager
async def refusals_of(frame: msgspec.Struct) -> AsyncIterator[None]:
    """Turn what a command is refused with into the error of its frame; a command may take `ANSWERED_WITHIN_S`."""
    try:
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            yield
    except CallRejected as error:
        raise BadFrame.of(frame, error.error_code, str(error)) from error
    except (Unavailable, TimeoutError) as error:
        raise BadFrame.of(frame, UNAVAILABLE, UNAVAILABLE.text) from error
