"""Messages between fan-out workers and notification instances, beside events. They are JSON on the bus.

A receiver skips and counts a message that it cannot decode: the sender may be of a newer version.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec

from fanout import packed_ids
from fanout.ids import MAX_ID_LENGTH, are_ids

WORKER_SILENT_AFTER_S: Final = 1.6
"""Seconds without a notice after which a worker counts as gone: instances do not wait for its confirmations, and the
other workers take its partitions."""
ANSWERED_WITHIN_S: Final = 1.0
"""Seconds within which an instance that asks a worker for channels gets the first page, and each page after the one
before."""
MAX_USERS: Final = 1_000
"""The most users that one message carries, whatever the bus takes: a longer one would block the receiver's event loop
while it is decoded."""
_ENVELOPE: Final = 1_024
"""An upper bound of the bytes that a message has beside its users."""
_BESIDE_ID: Final = 24
"""An upper bound of the bytes beside each user: two quotes, a colon, a number and a comma."""

_Id = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{1,128}\Z")]
"""An id of contract section 1. It becomes part of a subject or an argument of the engine, so the decoder checks it."""


class WorkerNotice(msgspec.Struct, frozen=True):
    """A worker's sign of life, published on `fanout.workers`.

    Attributes:
        worker: the worker's id.
        ready: its routing table is complete: it reads its share of the partitions, and sends a `RoutingConfirmed` for
            each user that it routes to.
        partitions: the partitions that it reads, each with the epoch of its claim. Of two workers that name a
            partition, the one with the higher epoch reads it.
        members_upto: the worker has applied every membership change up to this position of META.
        notice_id: by which the worker knows the notice when it comes back to it; empty where it is not ready.
    """

    worker: _Id
    ready: bool
    partitions: dict[int, int]
    members_upto: int = 0
    notice_id: str = ""


class PresenceChange(msgspec.Struct, frozen=True, tag="presence.change"):
    """A user's first connection on an instance came, or the last one went. Published on `fanout.presence`.

    This is a hint: it may be lost, and the digests show then that it was.

    Attributes:
        user_id: who came or went.
        online: whether the user is there now.
        instance_id: where.
        incarnation: of the instance.
        number: higher than that of every earlier change that this incarnation has announced.
    """

    user_id: _Id
    online: bool
    instance_id: _Id
    incarnation: str
    number: int


class PresenceDigest(msgspec.Struct, frozen=True, tag="digest"):
    """A digest of an instance's presence set, published on `fanout.digests`.

    Attributes:
        instance: the instance's id.
        incarnation: differs, and rises, each time that the instance starts.
        users: how many users the instance holds.
        digest: the digest of these users, as `fanout.presence_digest` computes it.
        stopped: the instance has stopped and holds no user. It publishes no other digest of this incarnation.
    """

    instance: _Id
    incarnation: str
    users: int
    digest: int
    stopped: bool = False


class PresenceSetPage(msgspec.Struct, frozen=True, tag="presence_set.page"):
    """A page of an instance's presence set, the users that it holds. Published on `fanout.worker.{id}`.

    Attributes:
        instance: the instance's id.
        incarnation: of the instance.
        request: the id of the `PresenceSetRequest` that this answers.
        page: the number of the page, from 0.
        last: no page follows.
        users: the users of the page.
        announced: the number of the newest `PresenceChange` when the presence set was read. The set is newer than
            that change.
        unchanged: the presence set is the one that the worker knows, so this only page has no users.
    """

    instance: _Id
    incarnation: str
    request: str
    page: int
    last: bool
    users: list[str]
    announced: int
    unchanged: bool = False


class RoutingConfirmed(msgspec.Struct, frozen=True, tag="routing.confirmed"):
    """A worker routes the messages of these users to the instance from now on. Published on its control subject.

    Attributes:
        worker: the worker's id. The confirmation is for the partitions that this worker reads.
        incarnation: of the instance.
        users: by user: the number of the newest `PresenceChange` that the worker has applied. A user who came with a
            later one is not confirmed.
        members_upto: the worker has applied every membership change up to this position of META.
    """

    worker: str
    incarnation: str
    users: dict[str, int]
    members_upto: int


class RoutingPending(msgspec.Struct, frozen=True, tag="routing.pending"):
    """These users wait for a worker to load their channels. Published on the instance's control subject.

    A user of very many channels takes longer than an instance waits for a worker that says nothing. A worker whose
    store did not answer last time says nothing.

    Attributes:
        worker: the worker's id.
        incarnation: of the instance.
        users: who is being loaded.
    """

    worker: str
    incarnation: str
    users: list[str]


class ChannelsRequest(msgspec.Struct, frozen=True, tag="channels.request"):
    """Asks a worker for the channels of a user who is on the instance. Published on `fanout.lists.{id}`.

    Attributes:
        instance: the instance that asks, and that the pages are sent to.
        user_id: whose channels.
        request: an id that the pages repeat.
    """

    instance: _Id
    user_id: _Id
    request: str


class ChannelsPage(msgspec.Struct, frozen=True, tag="channels.page"):
    """A page of the channels that a worker's table has for a user. Published on the instance's control subject.

    Attributes:
        request: the id of the `ChannelsRequest` that this answers.
        page: the number of the page, from 0.
        last: no page follows.
        channels: packed ids, as text.
        members_upto: the list has every membership change up to this position of META. Every later one is routed to
            the instance.
        known: the table has the user on the instance, and no change of that is pending. Otherwise this only page has
            no channels.
    """

    request: str
    page: int
    last: bool
    channels: str
    members_upto: int
    known: bool = True

    def packed(self) -> bytes:
        """The ids of the page, packed.

        Raises:
            msgspec.ValidationError: one is no id.
        """
        packed = self.channels.encode()
        if not are_ids(packed_ids.unpack(packed)):
            raise msgspec.ValidationError("a channel of the list is no id")
        return packed


class PresenceSetRequest(msgspec.Struct, frozen=True, tag="presence_set.request"):
    """Asks an instance for its presence set. Published on the instance's control subject.

    Attributes:
        worker: the id of the worker that asks, and that the pages are sent to.
        request: an id that the pages repeat.
        known: the number of users that the worker's table has on the instance, and their digest. An instance that has
            the same ones answers by one page that says so.
    """

    worker: _Id
    request: str
    known: tuple[int, int] | None = None


class SessionLost(msgspec.Struct, frozen=True, tag="session_lost"):
    """The device of a session of an instance was removed. Published on the instance's control subject.

    Attributes:
        session_id: the session, which must end.
    """

    session_id: str


class Replaced(msgspec.Struct, frozen=True, tag="replaced"):
    """A device of an instance has connected elsewhere. Published on the instance's control subject.

    Attributes:
        user_id: whose device it is.
        device_id: the device.
        order: the number of the newer connection. The instance closes the device's older connections only.
    """

    user_id: str
    device_id: str
    order: int


def user_pages(users: Sequence[str], max_payload: int) -> Iterator[Sequence[str]]:
    """Divide users into pages that fit in one `PresenceSetPage` or `RoutingConfirmed` each.

    Args:
        users: any number.
        max_payload: the most bytes that one message of the bus may have.

    Returns:
        the pages, none of which is empty.
    """
    fitting = (max_payload - _ENVELOPE) // (MAX_ID_LENGTH + _BESIDE_ID)
    size = max(1, min(MAX_USERS, fitting))
    return (users[at : at + size] for at in range(0, len(users), size))


ControlMessage = RoutingConfirmed | RoutingPending | ChannelsPage | PresenceSetRequest | SessionLost | Replaced
"""The messages on an instance's control subject."""

_Message = TypeVar("_Message")

_notice = msgspec.json.Decoder(WorkerNotice)
_control: msgspec.json.Decoder[Any] = msgspec.json.Decoder(ControlMessage)
_change = msgspec.json.Decoder(PresenceChange)
_digest = msgspec.json.Decoder(PresenceDigest)
_page = msgspec.json.Decoder(PresenceSetPage)
_channels_request = msgspec.json.Decoder(ChannelsRequest)


def _decoded(decoder: msgspec.json.Decoder[_Message], payload: bytes) -> _Message:
    try:
        return decoder.decode(payload)
    except RecursionError as error:  # raised for JSON that is nested too deep; it is no error of msgspec's own
        raise msgspec.DecodeError(str(error)) from error


def decode_notice(payload: bytes) -> WorkerNotice:
    """Decode a worker's sign of life.

    Raises:
        msgspec.DecodeError: the payload is none.
    """
    return _decoded(_notice, payload)


def decode_control(payload: bytes) -> ControlMessage:
    """Decode a message of an instance's control subject.

    Raises:
        msgspec.DecodeError: the payload is none.
    """
    message: ControlMessage = _decoded(_control, payload)
    return message


def decode_presence_change(payload: bytes) -> PresenceChange:
    """Decode an instance's hint of a presence change.

    Raises:
        msgspec.DecodeError: the payload is none.
    """
    return _decoded(_change, payload)


def decode_digest(payload: bytes) -> PresenceDigest:
    """Decode an instance's digest.

    Raises:
        msgspec.DecodeError: the payload is none.
    """
    return _decoded(_digest, payload)


def decode_channels_request(payload: bytes) -> ChannelsRequest:
    """Decode an instance's request for the channels of a user.

    Raises:
        msgspec.DecodeError: the payload is none.
    """
    return _decoded(_channels_request, payload)


def decode_presence_set_page(payload: bytes) -> PresenceSetPage:
    """Decode a page of a presence set, and check the ids of its users.

    Raises:
        msgspec.DecodeError: the payload is none, or a user is no id.
    """
    page = _decoded(_page, payload)
    if not are_ids(page.users):
        raise msgspec.ValidationError("a user of the presence set is no id")
    return page
