"""The call that returns the address of the WebSocket."""

from typing import Annotated, Final, Protocol

import msgspec
from msgspec import Meta

from fanout.api.calls import Call
from fanout.api.common import NoFields
from fanout.errors import Unavailable


class NoInstance(Unavailable):
    """No notification instance takes connections now."""

    public_text = True


class RealtimeAddress(msgspec.Struct, frozen=True):
    """The address to connect to."""

    url: Annotated[str, Meta(description="The WebSocket address.", extra_json_schema={"format": "uri"})]


class RealtimeCalls(Protocol):
    """Handles the calls of this module. Each may raise `fanout.Unavailable`."""

    async def connect(self) -> RealtimeAddress:
        """The WebSocket address of the instance with most room.

        Raises:
            NoInstance: none is up, or none has room.
        """
        ...


CALLS: Final = (
    Call[RealtimeCalls, NoFields](
        name="realtime.connect",
        method="GET",
        request=NoFields,
        response=RealtimeAddress,
        summary="Find where to connect",
        meaning="The address of the instance with most room.",
        description="Ask again before each connection: instances come and go.",
        handler=lambda port, _caller, _request: port.connect(),
    ),
)
