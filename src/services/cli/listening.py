"""`fanout listen`: prints what one device of a user gets, until it is ended."""

from typing import NoReturn

from fanout.client import AuthOk, Disconnected, Event, MessageNew, ThreadReply, TokenRefused
from fanout.client.connection import Client
from services.cli.rest import ClientError, remedy
from services.cli.resume_file import ResumeFile
from services.cli.screen import Screen, reason_of


class Listener:
    """One device that listens.

    Args:
        client: the device, not started.
        screen: prints the events.
        reads: whether to tell the server that the user has read each message that comes.
        kept: keeps the resume point; None to forget it at the end.
    """

    def __init__(self, client: Client, screen: Screen, *, reads: bool = False, kept: ResumeFile | None = None) -> None:
        self._client = client
        self._screen = screen
        self._reads = reads
        self._kept = kept
        self._has_connected = False

    async def run(self) -> NoReturn:
        """Listen until cancelled.

        Raises:
            ClientError: the first connection failed.
            SessionEnded: the server refuses this client for good.
        """
        try:
            async with self._client:
                await self._listen()
        except TokenRefused as error:
            raise ClientError(remedy(str(error)) or str(error)) from error
        finally:
            if self._kept is not None and self._has_connected:
                self._kept.save(self._client.resume_point)

    async def _listen(self) -> NoReturn:
        while True:
            received = await self._client.receive()
            self._check_first(received.event)
            self._screen.show(received)
            if self._reads:
                self._read(received.event)
            if self._kept is not None and self._has_connected:
                self._kept.save_soon(self._client.resume_point)

    def _check_first(self, event: Event) -> None:
        """Give up if the first connection fails: the address or the settings may be wrong."""
        if isinstance(event, Disconnected) and not self._has_connected:
            raise ClientError(reason_of(event))
        self._has_connected = self._has_connected or isinstance(event, AuthOk)

    def _read(self, event: Event) -> None:
        match event:
            case MessageNew(message=message) | ThreadReply(message=message):
                self._client.mark_read(message.channel_id, message.message_id)
                self._client.message_read(message.channel_id, message.message_id)
