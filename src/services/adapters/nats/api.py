"""The part of the JetStream API that the log needs: JSON requests under `$JS.API.`.

The requests are made directly, because nats-py lacks the one that fencing needs: the action `create` of a consumer.
"""

import base64
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson
from nats.errors import NoRespondersError

from fanout import machine
from fanout.errors import FanoutError, OutcomeUnknown, StorageFull, TooLarge, Unavailable
from services.adapters.nats.connection import NatsConnection
from services.adapters.nats.times import nanoseconds, text_of

NANOSECONDS: Final = 1_000_000_000

CONSUMER_EXISTS: Final = 10148
"""A consumer of that name exists with another config."""

_PREFIX: Final = "$JS.API"
_ANSWER_WITHIN_S: Final = 5.0  # the servers of a cluster may have to agree first
_NO_JETSTREAM: Final = (
    "JetStream does not answer: it is turned off (the option -js of nats-server turns it on), off for the account, "
    "or not up yet"
)
_SERVER_ERRORS: Final = 500
_NOT_FOUND: Final = 404
_MESSAGE_NOT_FOUND: Final = 10037
_STREAM_NOT_FOUND: Final = 10059
_MESSAGE_ID: Final = re.compile(rb"(?i)^nats-msg-id: *(.*?)\r?$", re.MULTILINE)
_TOO_LARGE: Final = 10054
_NO_ROOM: Final = frozenset(
    {
        10002,  # the account's limit is reached
        10023,  # the server's limit is reached
        10028,  # ... of memory
        10047,  # ... of its disk
        10077,  # the stream's limit is reached, or its file cannot be written
    }
)
"""The codes of errors that mean that there is no room to store more."""
_PASSES: Final = frozenset(
    {
        10158,  # the first message of this id is still on its way to the replicas
        10167,  # more was published at once than the stream takes in
    }
)
"""The codes of errors that JetStream calls the client's, and that yet end by themselves."""


class RequestRefused(FanoutError):  # noqa: N818 - the field's names end in what is wrong, not in "Error"
    """JetStream refused a request for a reason that repeating it does not change."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(error.get("description", "JetStream refused the request"))
        self.code: int = error.get("code", 0)
        self.err_code: int = error.get("err_code", 0)


class NotFound(RequestRefused):
    """There is no such consumer or message."""


class NoStream(Unavailable):
    """There is no such stream now. The next comparison of the log creates it again."""


class Found(NamedTuple):
    """A message as the stream stores it."""

    seq: int
    subject: str
    payload: bytes
    stored_ns: int
    msg_id: str


async def call(nc: NatsConnection, verb: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Ask the JetStream API.

    Args:
        nc: the connection.
        verb: the subject after `$JS.API.`.
        body: the request.

    Returns:
        the answer's JSON object.

    Raises:
        Unavailable: no answer came, or the server says that it cannot do this now.
        StorageFull: there is no room for what the request stores.
        NoStream: there is no such stream.
        NotFound: what the request names does not exist in its stream.
        RequestRefused: another error.
    """
    request = orjson.dumps(body) if body else b""
    try:
        reply = await nc.call(f"{_PREFIX}.{verb}", request, within=_ANSWER_WITHIN_S)
    except OutcomeUnknown as error:  # these requests store no event, so it does no harm to say that nothing was done
        raise Unavailable(str(error)) from error
    except Unavailable as error:
        if isinstance(error.__cause__, NoRespondersError):
            raise Unavailable(_NO_JETSTREAM) from error
        raise
    return checked(reply.data)


def checked(answer: bytes) -> dict[str, Any]:
    """The JSON object of an answer.

    Raises:
        Unavailable, StorageFull, NoStream, NotFound, RequestRefused: as `call`.
        TooLarge: an event is longer than the `max_msg_size` of its stream.
    """
    decoded: dict[str, Any] = orjson.loads(answer)
    error = decoded.get("error")
    if error is None:
        return decoded
    if error.get("err_code") == _STREAM_NOT_FOUND:
        raise NoStream(f"JetStream: {error.get('description')}")
    if error.get("err_code") in _NO_ROOM:
        raise StorageFull(f"JetStream: {error.get('description')}")
    if error.get("code", 0) >= _SERVER_ERRORS or error.get("err_code") in _PASSES:
        raise Unavailable(f"JetStream: {error.get('description')}")
    if error.get("err_code") == _TOO_LARGE:
        raise TooLarge(f"JetStream: {error.get('description')}")
    raise NotFound(error) if error.get("code") == _NOT_FOUND else RequestRefused(error)


async def stream_info(nc: NatsConnection, stream: str) -> dict[str, Any]:
    """A stream's `config` and `state`."""
    return await call(nc, f"STREAM.INFO.{stream}")


async def last_seq(nc: NatsConnection, stream: str) -> int:
    """The sequence of the newest event ever stored in a stream."""
    return int((await stream_info(nc, stream))["state"]["last_seq"])


async def stored_message(nc: NatsConnection, stream: str, seq: int) -> Found | None:
    """The message at a sequence, or None. There is none at 0, a number that the server refuses."""
    if seq < 1:
        return None
    try:
        message = (await call(nc, f"STREAM.MSG.GET.{stream}", {"seq": seq}))["message"]
    except NotFound as error:
        if error.err_code == _MESSAGE_NOT_FOUND:
            return None
        raise
    header = _MESSAGE_ID.search(base64.b64decode(message.get("hdrs", "")))
    return Found(
        message["seq"],
        message["subject"],
        base64.b64decode(message.get("data", "")),
        nanoseconds(message["time"]),
        header[1].decode() if header else "",
    )


async def first_after(nc: NatsConnection, stream: str, stored_ns: int) -> int:
    """The first sequence stored after a time in nanoseconds since 1970; the next sequence where there is none."""
    config = {
        "name": f"look-{machine.random_token(8)}",
        "deliver_policy": "by_start_time",
        "opt_start_time": text_of(stored_ns + 1),
        "ack_policy": "none",
        "mem_storage": True,
        "num_replicas": 1,
        "inactive_threshold": NANOSECONDS,
    }
    created = await create_consumer(nc, stream, config)
    await delete_consumer(nc, stream, created["name"])
    return int(created["delivered"]["stream_seq"]) + 1


async def next_seq(nc: NatsConnection, stream: str, subject: str, *, after: int) -> int | None:
    """The sequence of the first message of a subject (which may have wildcards) after a sequence, or None.

    It is read from the store itself: a consumer learns of a stored message a moment later.
    """
    body = {"seq": after + 1, "next_by_subj": subject}
    try:
        return int((await call(nc, f"STREAM.MSG.GET.{stream}", body))["message"]["seq"])
    except NotFound as error:
        if error.err_code == _MESSAGE_NOT_FOUND:
            return None
        raise


async def create_consumer(nc: NatsConnection, stream: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Create a consumer. If one of that name and config exists already, this has no effect.

    Raises:
        RequestRefused: one of that name exists with another config.
    """
    body = {"stream_name": stream, "config": config, "action": "create"}
    return await call(nc, f"CONSUMER.CREATE.{stream}.{config['name']}", body)


async def consumer_info(nc: NatsConnection, stream: str, consumer: str) -> dict[str, Any]:
    """A consumer's `config`, `ack_floor`, `num_pending` and `num_ack_pending`."""
    return await call(nc, f"CONSUMER.INFO.{stream}.{consumer}")


async def consumer_names(nc: NatsConnection, stream: str) -> list[str]:
    """The names of all consumers of a stream."""
    names: list[str] = []
    while True:
        page = await call(nc, f"CONSUMER.NAMES.{stream}", {"offset": len(names)})
        names += page.get("consumers") or []
        if not page.get("consumers") or len(names) >= page["total"]:
            return names


async def delete_consumer(nc: NatsConnection, stream: str, consumer: str) -> None:
    """Delete a consumer, if it exists."""
    try:
        await call(nc, f"CONSUMER.DELETE.{stream}.{consumer}")
    except NotFound:
        return
