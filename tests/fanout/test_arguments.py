"""Arguments: what is accepted, and what an error says of what is not."""

from collections.abc import Callable
from typing import Any

import pytest

import fanout
from fanout import Deliveries, Engine, Hub, InboundBatch, InvalidId, LaneProgress
from fanout._core import check_event
from tests.support.stored import stored_message

CHARSET = "which is no id: 1 to 128 characters of A-Z a-z 0-9 _ -"
EVENT = b'{"a":1}'
FAR = 40_000
"""Behind so many ids, an id is in a later part than the first."""

Call = Callable[[Engine], object]


@pytest.fixture
def engine() -> Engine:
    engine = Engine()
    engine.user_online("ann", "i", ["c"])
    engine.open_lane(1, 0, 0)
    return engine


def _any(value: object) -> Any:
    """A value of a type that the stub does not allow."""
    return value


def _text_of(error: type[Exception], call: Call, engine: Engine) -> str:
    with pytest.raises(error) as raised:
        call(engine)
    assert len(str(raised.value)) < 200
    return str(raised.value)


@pytest.mark.parametrize(
    ("call", "place", "shown"),
    [
        (lambda engine: engine.user_online("u", "i", ["a", "b c"]), "channels[1]", "'b c'"),
        (lambda engine: engine.user_online("u", "i", [*["a"] * FAR, "b.c"]), f"channels[{FAR}]", "'b.c'"),
        (lambda engine: engine.user_online("u", "i", ["x" * 129]), "channels[0]", f"'{'x' * 40}'..."),
        (lambda engine: engine.user_online("u", "a.b", ["a"]), "instance", "'a.b'"),
        (lambda engine: engine.user_online("", "i"), "user", "''"),
        (lambda engine: engine.join("u", "\n"), "channel", r"'\n'"),
        (lambda engine: engine.join("u", "\ud800"), "channel", r"'\u{fffd}\u{fffd}\u{fffd}'"),
        (lambda engine: engine.widths(("a", "b", "*")), "channels[2]", "'*'"),
        (lambda engine: engine.route("c", EVENT, exclude="a.b"), "exclude", "'a.b'"),
        (lambda engine: engine.route("c", EVENT, actor="a.b"), "actor", "'a.b'"),
        (lambda engine: engine.route_many([("c", EVENT), ("a.b", EVENT)]), "events[1][0]", "'a.b'"),
        (lambda _: fanout.presence_digest(["a", "b", "a.b"]), "users[2]", "'a.b'"),
        (lambda engine: Hub(engine).add("a b", None, 1), "session", "'a b'"),
        (lambda engine: Hub(engine).deliver("a b", b""), "channel", "'a b'"),
        (lambda _: fanout.message_frame(1, 0, "a.b", EVENT), "channel", "'a.b'"),
    ],
)
def test_a_bad_id_is_named_with_its_place_and_its_beginning(engine: Engine, call: Call, place: str, shown: str) -> None:
    assert _text_of(InvalidId, call, engine) == f"{place} is {shown}, {CHARSET}"


def test_a_stored_event_is_refused_with_the_id_that_is_none(engine: Engine) -> None:
    assert engine.route_stored("member", 1, 0, [(1, "a.b", EVENT)]) == [(1, f"channel is 'a.b', {CHARSET}")]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda engine: engine.user_online("u", "i", ["a", 5]), "channels[1] must be a str, not int: 5"),
        (
            lambda engine: engine.user_online("u", "i", [*["a"] * FAR, None]),
            f"channels[{FAR}] must be a str, not NoneType",
        ),
        (lambda engine: engine.user_online("u", "i", 5), "channels must be an iterable of ids, not int: 5"),
        (lambda engine: engine.user_online("u", "i", b"ab"), "channels[0] must be a str, not int: 97"),
        (lambda engine: engine.user_online(b"u", "i"), "user must be a str, not bytes"),
        (lambda engine: engine.route("c", "{}" * 999), "event must be bytes-like, not str"),
        (lambda engine: engine.route("c", EVENT, exclude=1.5), "exclude must be a str, not float: 1.5"),
        (lambda engine: engine.route_many([("c", EVENT), ("c", "{}")]), "events[1][1] must be bytes-like, not str"),
        (lambda engine: engine.route_many([("c", EVENT), (2, EVENT)]), "events[1][0] must be a str, not int: 2"),
        (lambda engine: engine.route_many(["c"]), "events[0] must be a tuple, not str: 'c'"),
        (lambda engine: engine.route_many(7), "events must be a sequence of tuples, not int: 7"),
        (lambda engine: engine.route_stored(1, 1, 0, []), "kind must be a str, not int: 1"),
        (lambda engine: engine.route_stored("member", 1, 0, [(1, "c", 2)]), "events[0][2] must be bytes-like, not int"),
        (
            lambda engine: engine.route_stored("member", 1, 0, [("1", "c", EVENT)]),
            "events[0][0] must be an int, not str: '1'",
        ),
        (
            lambda engine: engine.route_stored("member", 1, 0, [(1, "c", EVENT, 3)]),
            "events[0][3] must be a str or None, not int: 3",
        ),
        (lambda _: Deliveries.of([(1, "s.c", EVENT), (2, _any(3), EVENT)]), "events[1][1] must be a str, not int: 3"),
        (lambda _: fanout.presence_digest([_any(value=True)]), "users[0] must be a str, not bool: True"),
        (lambda _: fanout.decode_batch(_any([1])), "payload must be bytes-like, not list"),
        (lambda _: fanout.partition_of(_any(10**50), 1), f"channel must be a str, not int: 1{'0' * 39}..."),
    ],
)
def test_a_wrong_type_is_named_with_its_place_and_no_payload(engine: Engine, call: Call, text: str) -> None:
    assert _text_of(TypeError, call, engine) == text


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda engine: engine.route_many([("c",)]), "events[0] must be (channel, event), not a tuple of 1"),
        (
            lambda engine: engine.route_stored("member", 1, 0, [(1, "c")]),
            "events[0] must be (seq, channel, payload) or (seq, channel, payload, also), not a tuple of 2",
        ),
        (
            lambda _: Deliveries.of([_any((1, "c", EVENT, 1))]),
            "events[0] must be (seq, subject, payload), not a tuple of 4",
        ),
        (
            lambda engine: engine.route_stored("member", 1, 0, [(-1, "c", EVENT)]),
            "events[0][0] is negative or too large: -1",
        ),
        (
            lambda engine: engine.route_stored("new\nkind", 1, 0, []),
            r"no kind of stored events is named 'new\nkind'; known are message.new, member",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_place(engine: Engine, call: Call, text: str) -> None:
    assert _text_of(ValueError, call, engine) == text


def _whole(data: bytes) -> bytes:
    return data


def _view(data: bytes) -> memoryview:
    return memoryview(data)


def _part_of_a_view(data: bytes) -> memoryview:
    return memoryview(b"<" + data + b">")[1:-1]


def _every_second(data: bytes) -> memoryview:
    return memoryview(b"".join(bytes([byte, 0]) for byte in data))[::2]


@pytest.mark.parametrize("of", [_whole, bytearray, _view, _part_of_a_view, _every_second])
def test_bytes_are_taken_from_whatever_is_like_them(engine: Engine, of: Callable[[bytes], Any]) -> None:
    engine.route("c", of(EVENT))
    engine.route_many([("c", of(EVENT))])
    engine.route_user("ann", of(EVENT))
    engine.route_stored("member", 1, 0, [(1, "c", of(EVENT))])
    engine.route_stored("member", 1, 0, Deliveries.of([(2, "s.c", of(EVENT))]))
    [(_, batch)] = engine.drain(force=True)
    assert [record.event for record in fanout.decode_batch(of(batch))] == [EVENT] * 5
    assert len(InboundBatch(of(batch))) == len(batch)
    assert not LaneProgress().is_repeat(of(EVENT))
    check_event(of(EVENT))
    assert fanout.text_frame(of(EVENT)) == fanout.text_frame(EVENT)
    stored = stored_message()
    assert fanout.message_frame(1, 0, "c", of(stored)) == fanout.message_frame(1, 0, "c", stored)
    assert fanout.Splitter().feed(of(b"PING\r\n"))[0] == b"PING\r\n"


@pytest.mark.parametrize("of", [_whole, bytearray, _view])
def test_a_hub_takes_frames_from_whatever_is_like_bytes(of: Callable[[bytes], Any]) -> None:
    sessions = Engine()
    hub = Hub(sessions)
    socket = hub.add("s", None, 1_000)
    hub.open(socket, of(b"1"))
    hub.push(socket, of(b"2"))
    sessions.user_online("u", "s", ["c"])
    assert hub.deliver("c", of(b"3")) == [socket]
    assert hub.flush(1)[1] == [(socket, b"12")]


def test_a_bytearray_may_change_after_the_call(engine: Engine) -> None:
    event = bytearray(EVENT)
    engine.route("c", event)
    event[:] = b"{}"
    [(_, batch)] = engine.drain(force=True)
    assert fanout.decode_batch(batch)[0].event == EVENT


def test_a_snapshot_takes_a_note_from_whatever_is_like_bytes(engine: Engine, tmp_path: Any) -> None:
    engine.snapshot(tmp_path / "table", bytearray(b"note"))
    assert Engine.restore(tmp_path / "table").snapshot_note == b"note"
