"""What fan-out workers and notification instances tell each other beside events: JSON on the bus."""

from collections.abc import Iterator, Sequence
from string import ascii_letters, digits
from typing import Annotated, Any, Final, TypeVar

import msgspec

from fanout.ids import MAX_ID_LENGTH

MAX_USERS: Final = 1_000
"""Users in one message, whatever the bus takes: reading a longer one would hold up the receiver's event loop."""
_ENVELOPE: Final = 1_024
"""More than what a message of these has beside its users."""
_QUOTING: Final = 3
"""Two quotes and a comma."""

_Id = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{1,128}\Z")]
"""As contract section 1 has it: what is handed on to a subject or to the engine is checked when it comes in."""

_ALL_OF_IDS = str.maketrans("", "", f"{ascii_letters}{digits}_-")


class WorkerNotice(msgspec.Struct, frozen=True):
    """On `fanout.workers`: this worker lives."""

    worker: _Id
    ready: bool
    """Its routing table is whole: it reads its share, and answers for the users that it placed."""
    partitions: list[int]


class RosterDigest(msgspec.Struct, frozen=True, tag="digest"):
    """On `fanout.rosters`: which users an instance holds, as `fanout.presence_digest` has it."""

    instance: _Id
    incarnation: str
    users: int
    digest: int
    stopped: bool = False
    """The instance's last word: it holds nobody any more, and there will be no other digest of this incarnation."""


class Roster(msgspec.Struct, frozen=True, tag="roster"):
    """To one worker's `fanout.worker.{id}`: a page of the users that an instance holds."""

    instance: _Id
    incarnation: str
    request: str
    """Of the request that it answers."""
    page: int
    """From 0."""
    last: bool
    users: list[str]


class Placed(msgspec.Struct, frozen=True, tag="placed"):
    """To an instance's control subject: these users' messages now come to it from this worker's partitions."""

    worker: str
    users: list[str]


class RosterRequest(msgspec.Struct, frozen=True, tag="roster.request"):
    """To an instance's control subject: send your whole roster to this worker."""

    worker: _Id
    request: str


class Replaced(msgspec.Struct, frozen=True, tag="replaced"):
    """To an instance's control subject: a device that was connected there is connected elsewhere now."""

    user_id: str
    device_id: str
    connected_at: str
    """Of the newer connection: only an older one is replaced by it."""


def user_pages(users: Sequence[str], max_payload: int) -> Iterator[Sequence[str]]:
    """Cut users into as many as one `Roster` or `Placed` may carry.

    Args:
        users: any number.
        max_payload: bytes that one message of the bus may have.
    """
    fitting = (max_payload - _ENVELOPE) // (MAX_ID_LENGTH + _QUOTING)
    size = max(1, min(MAX_USERS, fitting))
    return (users[at : at + size] for at in range(0, len(users), size))


ControlMessage = Placed | RosterRequest | Replaced

_Message = TypeVar("_Message")

_notice = msgspec.json.Decoder(WorkerNotice)
_control: msgspec.json.Decoder[Any] = msgspec.json.Decoder(ControlMessage)
_digest = msgspec.json.Decoder(RosterDigest)
_roster = msgspec.json.Decoder(Roster)


def _decoded(decoder: msgspec.json.Decoder[_Message], payload: bytes) -> _Message:
    try:
        return decoder.decode(payload)
    except RecursionError as error:  # nested too deep, and msgspec's own errors do not include it
        raise msgspec.DecodeError(str(error)) from error


def decode_notice(payload: bytes) -> WorkerNotice:
    """A worker's notice.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _decoded(_notice, payload)


def decode_control(payload: bytes) -> ControlMessage:
    """A message to an instance.

    Raises:
        msgspec.DecodeError: it is none.
    """
    message: ControlMessage = _decoded(_control, payload)
    return message


def decode_digest(payload: bytes) -> RosterDigest:
    """An instance's digest.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _decoded(_digest, payload)


def decode_roster(payload: bytes) -> Roster:
    """A page of a roster.

    Raises:
        msgspec.DecodeError: it is none.
    """
    roster = _decoded(_roster, payload)
    if not _are_ids(roster.users):
        raise msgspec.ValidationError("a user of the roster is no id")
    return roster


def _are_ids(names: list[str]) -> bool:
    """In a tenth of the time that a pattern for each would take: a page has thousands."""
    lengths = list(map(len, names)) or [1]
    return min(lengths) > 0 and max(lengths) <= MAX_ID_LENGTH and not "".join(names).translate(_ALL_OF_IDS)
