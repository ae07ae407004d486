"""Which socket reads which channel, and the events of those channels: the same for both servers and for the clients."""

import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from benchmarks.live.stored_events import event_payload
from benchmarks.population import Population
from fanout import message_frame, text_frame

READERS: Final = {"one": 1, "ten": 10, "hundred": 100, "all": sys.maxsize}
"""How many sockets at most read each of the channels to which events go: the *reach* of these channels."""
SMALL_READERS: Final = 5
"""Readers of the small channel, who read none of the other channels that have several readers."""
SMALL: Final = f"few-{0:014d}"
FIRST_SEQ: Final = 1_000_000_000
"""All sequences have as many digits, and so all frames as many bytes."""
_BURST_OF_REHEARSAL: Final = 3
_EVENT_ID: Final = "evt_00000000000000000000000000"


class Event(NamedTuple):
    """An event as the log has it."""

    seq: int
    channel: str
    payload: bytes

    def client_json(self) -> bytes:
        """The JSON object that clients get."""
        return message_frame(self.seq, 0, self.channel, self.payload)


def events(channels: Sequence[str], first: int) -> list[Event]:
    """An event for each channel; the first has the sequence `first`, which is the text of its message too."""
    return [Event(seq, channel, event_payload(seq, channel, _EVENT_ID)) for seq, channel in enumerate(channels, first)]


FRAME_BYTES: Final = len(text_frame(events([SMALL], FIRST_SEQ)[0].client_json()))
"""The size of an event as a client gets it, which is the same for all channels and sequences."""


class Audience(msgspec.Struct, frozen=True):
    """Sockets by number, and the channels that each reads.

    The first `sockets` all read one channel; each hundred, each ten and each one of them have a channel too. A few more
    sockets read only the small channel. Each has channels of its own beside these, to make `channels` in all.
    """

    sockets: int
    channels: int

    def channels_of(self, number: int) -> list[str]:
        """The channels that a socket reads."""
        shared = self._shared(number)
        return shared + [f"own-{at:04d}{number:010d}" for at in range(self.channels - len(shared))]

    def channels_reaching(self, reach: str) -> list[str]:
        """Channels that together reach each of the sockets exactly once."""
        return [_channel(reach, number) for number in range(0, self.sockets, READERS[reach])]

    def members(self) -> dict[str, list[int]]:
        """The sockets of each channel to which events go."""
        found: defaultdict[str, list[int]] = defaultdict(list)
        for number in range(self.sockets + SMALL_READERS):
            for channel in self._shared(number):
                found[channel].append(number)
        return found

    def rehearsal(self) -> list[str]:
        """The channels of the events by which deliveries are checked before the clock: all sizes, single and bursts."""
        script: list[str] = []
        for reach in READERS:
            script += [*self.channels_reaching(reach), *self.channels_reaching("all") * _BURST_OF_REHEARSAL, SMALL]
        return script

    def due(self, number: int, sent: Sequence[Event]) -> list[Event]:
        """The events that a socket gets of those that were sent."""
        mine = set(self.channels_of(number))
        return [event for event in sent if event.channel in mine]

    def _shared(self, number: int) -> list[str]:
        return [_channel(reach, number) for reach in READERS] if number < self.sockets else [SMALL]


class IdleAudience(msgspec.Struct, frozen=True):
    """Sockets to which nothing is sent. Their channels are drawn; each is read by two sockets on average."""

    sockets: int
    channels: int

    def channels_of(self, number: int) -> list[str]:
        """The channels that a socket reads."""
        memberships = self.sockets * self.channels
        drawn = Population(self.sockets, max(self.channels, memberships // 2), memberships, 1)
        return drawn.names(number % self.sockets)

    def members(self) -> dict[str, list[int]]:
        """No events go to any channel."""
        return {}


def _channel(reach: str, number: int) -> str:
    return f"{reach[:3]}-{number - number % READERS[reach]:014d}"
