import re
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout import Engine, InvalidEvent, client_event, message_frame
from fanout._core import check_event
from fanout.events import (
    Message,
    ReceiptRead,
    decode_member_event,
    decode_message_event,
    decode_receipt_event,
    encode,
)
from tests.support.stored import stored_message

VALUES = [
    b"0",
    b"01",
    b"-0",
    b"1.",
    b"1e5",
    b"1e999",
    b"-1e999",
    b"18446744073709551615",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"9" * 5_000,
    b"NaN",
    b'"\\ud83d\\ude00"',
    b'"\\ud800"',
    b'"\\udc00"',
    b'"\\ud800\\u0041"',
    b'{"\\ud800":1}',
    b'"\\u0000"',
    b'"\\x"',
    b'"\x00"',
    b'"\n"',
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b'{"\xff":1}',
    b'{"a":1,"a":2}',
    b'{"a":1,}',
    b"[1,]",
    b"{1:1}",
    *(b"[" * depth + b"]" * depth for depth in (100, 126, 127, 128, 300, 1_100, 100_000)),
]
"""Values of which some are no JSON, and some are JSON that not every parser takes."""

ODDITIES = [
    b'"%s":%s' % (name, value)
    for name, opened, closed in (
        (b"attachments", b"[", b"]"),
        (b"later", b"", b""),
    )
    for value in (opened + value + closed for value in VALUES)
]
SPLINTERS = [
    b"",
    b'"',
    b"\\",
    b"\\u",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"-",
    b"9e9",
    b"\xff",
    b"\x00",
    b"null",
]


def _with(more: bytes) -> bytes:
    """A stored event whose message has one member more."""
    return stored_message()[:-2] + b"," + more + b"}}"


def _around(more: bytes) -> bytes:
    """A stored event with one member more beside its message."""
    return stored_message()[:-1] + b"," + more + b"}"


@pytest.mark.parametrize(
    "payload",
    [
        stored_message(message_id="msg_1"),
        stored_message(message_id=None),
        stored_message(text=1),
        stored_message(mentions=["ann", 2]),
        stored_message(mentions=[]),
        stored_message(attachments={}),
        stored_message(thread_id=None, client_msg_id=None, also_send_to_channel=None, later=[]),
        stored_message(thread_id="a.b"),
        stored_message(thread_id="msg_1", also_send_to_channel=True),
        stored_message(thread_id="msg_1", also_send_to_channel="true"),
        stored_message(also_send_to_channel=1),
        stored_message("d"),
        stored_message().replace(b'"event_id"', b'"other"'),
        stored_message().replace(b'"evt_1"', b"1"),
        re.sub(rb'"message":\{.*?\}', b'"message":[]', stored_message()),
        b"[" + stored_message() + b"]",
        b'["evt_1","message.new","c",{}]',
        stored_message() + b"x",
        stored_message()[:-1],
        b" " + stored_message() + b"\n",
        b"",
        *(_with(more) for more in ODDITIES),
        *(_around(more) for more in ODDITIES),
        _with(b'"text":"twice"'),
        _with(b'"te\\u0078t":"twice"'),
        _with(b'"channel_id":"c"'),
        _around(b'"channel_id":"d"'),
        _around(b'"message":{}'),
        stored_message(text="x" * (1024 * 1024)),
    ],
)
def test_fan_out_and_the_message_writer_judge_alike(payload: bytes) -> None:
    _assert_judged_alike(payload)


@given(st.data())
def test_fan_out_and_the_message_writer_judge_damaged_events_alike(data: st.DataObject) -> None:
    payload = bytearray(_with(data.draw(st.sampled_from(ODDITIES))))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(payload) - 1))
        payload[place : place + data.draw(st.integers(0, 2))] = data.draw(st.sampled_from(SPLINTERS))
    _assert_judged_alike(bytes(payload))


def _assert_judged_alike(payload: bytes) -> None:
    try:
        message = decode_message_event(payload, "c")
    except InvalidEvent:
        with pytest.raises(InvalidEvent):
            message_frame(1, 0, "c", payload)
    else:
        frame = orjson.loads(message_frame(1, 0, "c", payload))
        assert (frame["type"] == "thread.reply") == message.is_only_in_thread == ("thread_id" in frame)
        assert msgspec.convert(frame["message"], Message) == message
        assert orjson.loads(encode(message))


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (b'"attachments":[18446744073709551616]', "beyond 64 bits"),
        (b'"attachments":[1e999]', "beyond 64 bits"),
        (b'"attachments":["\\ud800"]', "surrogate"),
        (b'"later":' + b"[" * 128 + b"]" * 128, "too deep"),
        (b'"text":"twice"', "duplicate field `text`"),
        (b'"later":"\xff"', "utf-8"),
    ],
)
def test_what_some_reader_could_not_take_is_no_message_event(more: bytes, reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason):
        message_frame(1, 0, "c", _with(more))
    with pytest.raises(InvalidEvent, match=reason):
        decode_message_event(_with(more), "c")


def _member(**changes: Any) -> bytes:
    event = {"type": "member.joined", "event_id": "evt_1", "channel_id": "c", "user_id": "ann", "at": "now"}
    return orjson.dumps(event | {"version": 1} | changes)


@pytest.mark.parametrize(
    ("payload", "channel"),
    [
        (_member()[:-1] + b',"later":"\xff"}', "c"),
        (_member(later="x" * (1024 * 1024)), "c"),
        (_member(channel_id="c.d"), "c.d"),
        (_member(user_id="a b"), "c"),
        (_member(), "d"),
        (_member(type="member.changed"), "c"),
        (_member(version="1"), "c"),
        (_member(version=0), "c"),
        (_member(version=2**63), "c"),
        (_member(version=None), "c"),
        (b"[" + _member() + b"]", "c"),
        (b"", "c"),
    ],
)
def test_a_member_event_that_the_engine_would_refuse_is_none(payload: bytes, channel: str) -> None:
    with pytest.raises(InvalidEvent):
        decode_member_event(payload, channel)


def test_a_member_event_is_what_the_engine_takes() -> None:
    event = decode_member_event(_member(later=[]), "c")
    engine = Engine()
    engine.user_online("ann", "i", [])
    engine.open_lane(1, 0, 0)
    assert engine.join(event.user_id, event.channel_id)
    assert engine.route_stored("member", 1, 0, [(1, event.channel_id, _member(later=[]))]) == []
    assert engine.stats()["routed"] == 1


def _receipt(**changes: Any) -> bytes:
    event = ReceiptRead("evt_1", "c", "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV", ["ann"], "2030-01-01T00:00:00.000Z")
    return orjson.dumps(orjson.loads(encode(event)) | changes)


def test_a_receipt_is_what_the_engine_takes_and_what_clients_get() -> None:
    event = decode_receipt_event(_receipt(later=[]), "c")
    assert (event.message_id, event.read_by) == ("msg_01ARZ3NDEKTSV4RRFFQ69G5FAV", ["ann"])
    assert client_event("receipt.read", 7, 3, "c", _receipt()) == _receipt()


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "member.left"},
        {"channel_id": "d"},
        {"channel_id": "a.b"},
        {"message_id": "msg_1"},
        {"read_by": []},
        {"read_by": ["a.b"]},
        {"read_by": "ann"},
        {"read_at": 7},
        {"read_at": "2030-01-01"},
        {"read_at": "2030-02-31T00:00:00.000Z"},
    ],
)
def test_what_is_no_receipt_of_the_channel_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent):
        decode_receipt_event(_receipt(**changes), "c")


@pytest.mark.parametrize("event", [b"", b"[]", b'{"a":"\xff"}', b'{"a":"%s"}' % (b"x" * (1024 * 1024))])
def test_an_event_can_be_checked_before_it_is_routed(event: bytes) -> None:
    with pytest.raises(InvalidEvent):
        check_event(event)
    check_event(b"{}")
