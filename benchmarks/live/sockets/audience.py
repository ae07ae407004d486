"""Who reads which channel, and what is said there: the same for both servers and for the clients."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from benchmarks.live.sockets.messages import REACHES, Reach
from benchmarks.population import Population
from fanout import message_frame
from fanout.events import MESSAGE_NEW, Message, MessageEvent, encode, timestamp
from fanout.ids import new_event_id, new_message_id

SMALL_READERS: Final = 5
"""Of the small channel, beside which a hot one is flooded. They do not read that one."""
SMALL: Final = f"few-{0:014d}"
EVENT_BYTES: Final = 300
"""Of the JSON object that a client gets."""
FRAME_BYTES: Final = EVENT_BYTES + 4
"""With the header of an unmasked frame of 126 to 65,535 bytes, RFC 6455 section 5.2."""
FIRST_SEQ: Final = 1_000_000_000
"""So that each number has as many digits, and each frame as many bytes."""
LEAST_CHANNELS: Final = len(REACHES)
MOST_CHANNELS: Final = 10_000
"""Of a connection: with more, clients take admission for stalled."""
_READERS: Final[dict[Reach, int]] = {"hundred": 100, "ten": 10, "one": 1}
_READERS_PER_IDLE_CHANNEL: Final = 2
_BURST_OF_REHEARSAL: Final = 3


class Idle(msgspec.Struct, frozen=True, tag=True):
    """Sockets to which nothing is sent. Their channels are drawn from so many that two read each, on average."""

    sockets: int
    channels: int

    def channels_of(self, number: int) -> list[str]:
        """What a socket reads."""
        return self._population.names(number % self.sockets)

    @property
    def _population(self) -> Population:
        memberships = self.sockets * self.channels
        return Population(self.sockets, max(self.channels, memberships // _READERS_PER_IDLE_CHANNEL), memberships, 1)


class Audience(msgspec.Struct, frozen=True, tag=True):
    """Sockets by number, and the channels that each reads.

    The first `sockets` of them all read one channel; each hundred, each ten and each one of them have a channel too.
    A few more read the small channel alone. All have channels of their own beside these, to make `channels` in all.
    """

    sockets: int
    channels: int

    def channels_of(self, number: int) -> list[str]:
        """What a socket reads."""
        common = [self._channel(reach, number) for reach in REACHES] if number < self.sockets else [SMALL]
        return common + [f"own-{at:04d}{number:010d}" for at in range(self.channels - len(common))]

    def channels_reaching(self, reach: Reach) -> list[str]:
        """Channels that reach each of the sockets just once, together."""
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
        """The channels of the events by which it is checked that everybody gets what is due, in order."""
        script: list[str] = []
        for reach in REACHES:
            script += [*self.channels_reaching(reach), *self.channels_reaching("all") * _BURST_OF_REHEARSAL, SMALL]
        return script

    def due_in_rehearsal(self, number: int, first: int) -> "list[Due]":
        """What a socket gets of it: the numbers begin with `first`."""
        mine = set(self.channels_of(number))
        return [Due(channel, first + at) for at, channel in enumerate(self.rehearsal()) if channel in mine]

    def _readers(self, reach: Reach) -> int:
        return _READERS.get(reach, self.sockets)

    def _channel(self, reach: Reach, number: int) -> str:
        return f"{reach[:3]}-{number - number % self._readers(reach):014d}"


class Due(NamedTuple):
    """An event as a client sees it."""

    channel: str
    number: int


class Event(NamedTuple):
    """An event as the log has it."""

    seq: int
    channel: str
    payload: bytes


def due_frame(event: Event) -> bytes:
    """The JSON object that clients get."""
    return message_frame(event.seq, 0, event.channel, event.payload)


class Events:
    """Makes events, numbered without a gap: a number is the text of its message, and its seq."""

    def __init__(self) -> None:
        self.next = FIRST_SEQ + 1

    def of(self, channels: Sequence[str]) -> list[Event]:
        """One for each channel, in order."""
        first = self.next
        self.next += len(channels)
        return [_event(first + at, channel) for at, channel in enumerate(channels)]


def _event(number: int, channel: str, filling: bytes = b"") -> Event:
    name = channel.encode()
    return Event(number, channel, _PAYLOAD % (name, name, number, filling or _FILLING))


def _template() -> bytes:
    """As the command service writes it, with places for the channel (twice), the number, and what fills it up."""
    message = Message(new_message_id(), "%s", "user-0000000001", "%d %s", timestamp())
    return encode(MessageEvent(new_event_id(), MESSAGE_NEW, "%s", msgspec.Raw(encode(message))))


_PAYLOAD: Final = _template()
_FILLING: Final = b"." * (EVENT_BYTES + 1 - len(due_frame(_event(FIRST_SEQ, SMALL, b"."))))
