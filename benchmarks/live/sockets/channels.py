"""Who reads which channel, and the events of those channels: the same for both servers and for the clients."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from benchmarks.live.sockets.figures import REACHES, Reach
from benchmarks.live.stored_events import event_payload
from benchmarks.population import Population
from fanout import message_frame

SMALL_READERS: Final = 5
"""Readers of the small channel, which is measured beside a load. They read none of the other channels."""
SMALL: Final = f"few-{0:014d}"
FRAME_BYTES: Final = 304
"""An event as a client gets it: a JSON object of 300 bytes, and the header of an unmasked frame of 126 to 65,535."""
FIRST_SEQ: Final = 1_000_000_000
"""All sequences have as many digits, and so all frames as many bytes."""
LEAST_CHANNELS: Final = len(REACHES)
MOST_CHANNELS: Final = 10_000
"""Of a connection: with more, clients take admission for stalled."""
_HEADER_BYTES: Final = 4
_READERS: Final[dict[Reach, int]] = {"hundred": 100, "ten": 10, "one": 1}
_READERS_PER_IDLE_CHANNEL: Final = 2
_BURST_OF_REHEARSAL: Final = 3


class IdleAudience(msgspec.Struct, frozen=True):
    """Sockets to which nothing is sent. Their channels are drawn from so many that two read each, on average."""

    sockets: int
    channels: int

    def channels_of(self, number: int) -> list[str]:
        """The channels that a socket reads."""
        memberships = self.sockets * self.channels
        channels = max(self.channels, memberships // _READERS_PER_IDLE_CHANNEL)
        return Population(self.sockets, channels, memberships, 1).names(number % self.sockets)


class Audience(msgspec.Struct, frozen=True):
    """Sockets by number, and the channels that each reads.

    The first `sockets` all read one channel; each hundred, each ten and each one of them have a channel too. A few more
    sockets read only the small channel. Each has channels of its own beside these, to make `channels` in all.
    """

    sockets: int
    channels: int

    def channels_of(self, number: int) -> list[str]:
        """The channels that a socket reads."""
        common = [self._channel(reach, number) for reach in REACHES] if number < self.sockets else [SMALL]
        return common + [f"own-{at:04d}{number:010d}" for at in range(self.channels - len(common))]

    def channels_reaching(self, reach: Reach) -> list[str]:
        """Channels that together reach each of the sockets exactly once."""
        return [self._channel(reach, number) for number in range(0, self.sockets, self._readers(reach))]

    def members(self) -> dict[str, list[int]]:
        """The sockets of each channel to which events go."""
        found = {
            self._channel(reach, first): list(range(first, min(first + self._readers(reach), self.sockets)))
            for reach in REACHES
            for first in range(0, self.sockets, self._readers(reach))
        }
        return found | {SMALL: list(range(self.sockets, self.sockets + SMALL_READERS))}

    def rehearsal(self) -> list[str]:
        """The channels of the events by which deliveries are checked before the clock: all sizes, single and bursts."""
        script: list[str] = []
        for reach in REACHES:
            script += [*self.channels_reaching(reach), *self.channels_reaching("all") * _BURST_OF_REHEARSAL, SMALL]
        return script

    def due_in_rehearsal(self, number: int, first: int = FIRST_SEQ + 1) -> "list[Event]":
        """What a socket gets in the rehearsal, whose first event has the number `first`."""
        mine = set(self.channels_of(number))
        return [event for event in events(self.rehearsal(), first) if event.channel in mine]

    def _readers(self, reach: Reach) -> int:
        return _READERS.get(reach, self.sockets)

    def _channel(self, reach: Reach, number: int) -> str:
        return f"{reach[:3]}-{number - number % self._readers(reach):014d}"


class Event(NamedTuple):
    """An event as the log has it."""

    seq: int
    channel: str
    payload: bytes

    def client_json(self) -> bytes:
        """The JSON object that clients get."""
        return message_frame(self.seq, 0, self.channel, self.payload)


def events(channels: Sequence[str], first: int) -> list[Event]:
    """An event for each channel, in order; the number is the event's sequence, and the text of its message.

    Args:
        channels: where the events go.
        first: the number of the first one.
    """
    return [
        Event(number, channel, event_payload(number, channel, _EVENT_ID, _PAYLOAD_BYTES))
        for number, channel in enumerate(channels, first)
    ]


def _payload_bytes() -> int:
    """The size of a stored event whose JSON object for clients has the wanted size."""
    sample = Event(FIRST_SEQ, SMALL, event_payload(FIRST_SEQ, SMALL, _EVENT_ID))
    return FRAME_BYTES - _HEADER_BYTES + len(sample.payload) - len(sample.client_json())


_EVENT_ID: Final = "evt_00000000000000000000000000"
_PAYLOAD_BYTES: Final = _payload_bytes()
