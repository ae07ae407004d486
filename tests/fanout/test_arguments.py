"""Arguments: what is accepted, and what an error says of what is not."""

from array import array
from collections.abc import Callable
from enum import IntEnum
from mmap import mmap
from typing import Any

import pytest

import fanout
from fanout import Deliveries, DeliveryBuffer, Engine, Hub, InboundBatch, InvalidId, LaneProgress
from fanout._core import check_event
from tests.support.stored import stored_message

CHARSET = "which is no id: 1 to 128 characters of A-Z a-z 0-9 _ -"
EVENT = b'{"a":1}'
FAR = 40_000
REPLACED = r"\u{fffd}"
"""How an error shows a character that is no text."""
"""Behind so many ids, an id is in a later part than the first."""

Call = Callable[[Engine], object]


class Level(IntEnum):
    """A number that is shown by a text whose character at the cut has two bytes."""

    HIGH = 1

    def __repr__(self) -> str:
        return "x" * 39 + "\N{SUPERSCRIPT ONE}" * 3


class Index:
    """An object that stands for an integer."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __index__(self) -> int:
        return self._value


class Failing:
    """An object whose every conversion fails by an error of its own."""

    def __index__(self) -> int:
        raise ZeroDivisionError

    __iter__ = __float__ = __index__


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
        (lambda engine: engine.user_online("u", "i", bytearray(b"ab")), "channels[0] must be a str, not int: 97"),
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
        (
            lambda _: fanout.partition_of(_any(Level.HIGH), 1),
            rf"channel must be a str, not Level: {'x' * 39}\u{{b9}}...",
        ),
        (lambda engine: engine.open_lane("1", 0, 0), "lane must be an int, not str: '1'"),
        (lambda engine: engine.open_lane(1, None, 0), "epoch must be an int, not NoneType"),
        (lambda engine: engine.open_lane(1, 0, 1.5), "position must be an int, not float: 1.5"),
        (lambda engine: engine.users_page("i", "x"), "after must be an int, not str: 'x'"),
        (lambda _: Engine(flush_interval=_any("x")), "flush_interval must be a float, not str: 'x'"),
        (lambda engine: Hub(engine).deliver("c", b"", also=_any([0, "1"])), "also[1] must be an int, not str: '1'"),
        (
            lambda engine: Hub(engine).deliver("c", b"", without=_any(1)),
            "without must be a sequence of ints, not int: 1",
        ),
        (lambda _: DeliveryBuffer(1).attach("c", _any([1])), "lifts[0] must be a tuple, not int: 1"),
        (lambda _: DeliveryBuffer(1).attach("c", _any([(1, "2")])), "lifts[0][1] must be an int, not str: '2'"),
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
            lambda _: Deliveries.of([_any((1, "c", EVENT, 1, 1))]),
            "events[0] must be (seq, subject, payload) or (seq, subject, payload, time), not a tuple of 5",
        ),
        (
            lambda engine: engine.route_stored("member", 1, 0, [(-1, "c", EVENT)]),
            "events[0][0] is negative or too large: -1",
        ),
        (
            lambda engine: engine.route_stored("new\nkind", 1, 0, []),
            r"no kind of stored events is named 'new\nkind'; known are message.new, member, receipt.read",
        ),
        (
            lambda engine: engine.route_stored("\ud800", 1, 0, []),
            rf"no kind of stored events is named '{REPLACED * 3}'; known are message.new, member, receipt.read",
        ),
        (lambda engine: engine.open_lane(2**32, 0, 0), "lane is negative or too large: 4294967296"),
        (lambda engine: engine.open_lane(1, -1, 0), "epoch is negative or too large: -1"),
        (lambda engine: engine.open_lane(1, 0, 10**50), f"position is negative or too large: 1{'0' * 39}..."),
        (lambda engine: engine.open_lane(1, 0, 10**5_000), "position is negative or too large"),
        (lambda engine: engine.open_lane(1, 0, _any(Index(-1))), "position is negative or too large"),
        (lambda engine: Hub(engine).remove(-1), "socket is negative or too large: -1"),
        (lambda engine: Hub(engine).deliver("c", b"", also=[2**32]), "also[0] is negative or too large: 4294967296"),
        (
            lambda _: DeliveryBuffer(1).attach("c", _any([(1,)])),
            "lifts[0] must be (first sequence, lift), not a tuple of 1",
        ),
        (lambda _: Engine(flush_interval=-0.5), "flush_interval must be finite and not negative, not -0.5"),
        (lambda _: Engine(cache_ttl=float("nan")), "cache_ttl must be finite and not negative, not nan"),
        (lambda _: Engine(max_batch=2**31), "max_batch must be from 4096 to 1073741824"),
        (lambda _: fanout.partition_of("c", 0), "partitions must be at least 1"),
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


def _array(data: bytes) -> "array[int]":
    return array("b", data)


def _of_wide_items(data: bytes) -> "array[int]":
    """The same bytes as items of four bytes; behind the data are as many blanks as are missing."""
    return array("I", data + b" " * (-len(data) % 4))


def _of_two_dimensions(data: bytes) -> memoryview:
    return memoryview(data).cast("B", (1, len(data)))


def _file(data: bytes) -> mmap:
    mapped = mmap(-1, len(data))
    mapped.write(data)
    return mapped


LIKE_BYTES = [_whole, bytearray, _view, _part_of_a_view, _every_second, _array, _of_two_dimensions, _file]


@pytest.mark.parametrize("of", LIKE_BYTES)
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


@pytest.mark.parametrize("of", [_whole, bytearray, _view, _array])
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


def test_the_items_of_a_buffer_may_have_any_format(engine: Engine) -> None:
    for event in (_of_wide_items(EVENT), memoryview(_of_wide_items(EVENT))):
        engine.route("c", event)
        [(_, batch)] = engine.drain(force=True)
        assert fanout.decode_batch(batch)[0].event == bytes(event)


def test_a_view_that_was_released_is_an_error_of_python(engine: Engine) -> None:
    view = memoryview(EVENT)
    view.release()
    with pytest.raises(ValueError, match="released"):
        engine.route("c", view)


@pytest.mark.parametrize(
    "call",
    [
        lambda engine: engine.open_lane(Failing(), 0, 0),
        lambda engine: engine.route_stored("member", 1, 0, [(Failing(), "c", EVENT)]),
        lambda engine: engine.user_online("u", "i", Failing()),
        lambda engine: engine.route_many(Failing()),
        lambda _: Engine(cache_ttl=_any(Failing())),
    ],
)
def test_an_error_of_the_value_itself_is_not_hidden(engine: Engine, call: Call) -> None:
    with pytest.raises(ZeroDivisionError):
        call(engine)


class Boasting(list[Any]):
    """A list that says that it is far longer than it is."""

    def __len__(self) -> int:
        return 2**62


class Sequence:
    """A sequence that is not a list, and says that it is far longer than it is."""

    def __init__(self, *items: object) -> None:
        self._items = items

    def __len__(self) -> int:
        return 2**62

    __length_hint__ = __len__

    def __getitem__(self, index: int) -> object:
        return self._items[index]


@pytest.mark.parametrize("boasting", [lambda *items: Boasting(items), Sequence])
def test_no_memory_is_taken_for_what_a_length_promises(engine: Engine, boasting: Callable[..., Any]) -> None:
    assert engine.user_online("bob", "i", boasting("c", "d")) == 1
    assert engine.widths(boasting("c", "d")) == [1, 1]
    assert engine.route_many(boasting(("c", EVENT), ("d", EVENT))) == 2
    assert engine.route_stored("member", 1, 0, boasting((1, "c", EVENT))) == []
    assert fanout.presence_digest(boasting("u")) == fanout.presence_digest(["u"])
    assert len(Deliveries.of(boasting((1, "s.c", EVENT)))) == 1
    assert Hub(Engine()).deliver("c", b"", also=boasting(), without=boasting(1)) == []
    DeliveryBuffer(1).attach("c", boasting((1, 2)))
