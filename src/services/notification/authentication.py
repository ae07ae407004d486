"""Authentication: identifies the user of a new client by its first frame and its token."""

import asyncio
from functools import partial
from typing import Final

import structlog

from fanout import Unavailable
from fanout.error_codes import CloseCode
from fanout.ports.authenticator import Authenticator, Identity, TokenRefused
from fanout.ports.socket import Socket
from services.notification.capacity import Capacity, crowded
from services.notification.client_frames.auth import Auth
from services.notification.client_frames.concerns import CLIENT_FRAMES
from services.notification.client_frames.handlers import BadFrame, MalformedFrame
from services.notification.refusals import Refused, not_now
from services.runtime.bearer import bearer

log = structlog.get_logger(__name__)

_AT_ONCE: Final = 0.0
"""A deadline that has passed already, by the clock of the event loop."""


class Authentication:
    """Authenticates clients.

    Args:
        authenticator: verifies tokens.
        capacity: limits how many clients may be unauthenticated at a time.
        timeout_s: seconds that a client has to send its `auth` frame.
    """

    def __init__(self, authenticator: Authenticator, capacity: Capacity, *, timeout_s: float) -> None:
        self._authenticator = authenticator
        self._capacity = capacity
        self._timeout_s = timeout_s

    async def authenticate(self, socket: Socket) -> tuple[Auth, Identity]:
        """Read the first frame, and verify the token in it or in the `Authorization` header.

        Raises:
            Refused: the connection must be closed, with the code that the error carries.
            SocketClosed: the client has gone.
        """
        with self._capacity.unauthenticated():
            auth = await self._first_frame(socket)
            return auth, await self._verify(auth.token or bearer(socket.authorization))

    async def _first_frame(self, socket: Socket) -> Auth:
        try:
            frame = CLIENT_FRAMES.decode(await self._first_message(socket))
        except (MalformedFrame, BadFrame) as error:
            raise Refused(CloseCode.MALFORMED, f"the first frame must be auth: {error}", "malformed") from error
        if not isinstance(frame, Auth):
            raise Refused(CloseCode.UNAUTHENTICATED, "the first frame must be auth", "token")
        return frame

    async def _first_message(self, socket: Socket) -> str | bytes:
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                with self._capacity.silent(partial(_expire, limit)):
                    return await socket.receive()
        except TimeoutError as error:
            if limit.when() == _AT_ONCE:
                raise crowded() from error
            raise Refused(CloseCode.UNAUTHENTICATED, "no auth frame in time", "token") from error

    async def _verify(self, token: str) -> Identity:
        try:
            return await self._authenticator.verify(token)
        except TokenRefused as error:
            log.info("token refused", code=error.code)
            raise Refused(CloseCode.UNAUTHENTICATED, f"{error.code}: {error}", "token") from error
        except Unavailable as error:
            raise not_now("tokens cannot be verified now", "store") from error


def _expire(limit: asyncio.Timeout) -> None:
    """Let a time limit end now."""
    if not limit.expired():
        limit.reschedule(_AT_ONCE)
