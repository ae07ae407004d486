import time
from collections.abc import Callable
from typing import Any

import pytest

import fanout
from fanout import Engine, InvalidEvent, InvalidId, MembershipUnknown
from fanout.packed_ids import pack

EVENT = b'{"type":"hello"}'
LONG_LIST = [f"channel-{number}" for number in range(3_000)]


@pytest.fixture
def engine() -> Engine:
    return Engine()


def _calls(value: Any) -> list[Callable[[Engine], object]]:
    """Every way to hand an id to the engine."""
    return [
        lambda engine: engine.user_online(value, "i"),
        lambda engine: engine.user_online("u", value),
        lambda engine: engine.user_online("u", "i", ["c", value]),
        lambda engine: engine.user_offline(value, "i"),
        lambda engine: engine.user_offline("u", value),
        lambda engine: engine.drop_instance(value),
        lambda engine: engine.join(value, "c"),
        lambda engine: engine.join("u", value),
        lambda engine: engine.leave(value, "c"),
        lambda engine: engine.leave("u", value),
        lambda engine: engine.forget(value),
        lambda engine: engine.instances(value),
        lambda engine: engine.widths(["c", value]),
        lambda engine: engine.membership_count(value),
        lambda engine: engine.members(value),
        lambda engine: engine.channels(value),
        lambda engine: engine.packed_channels(value),
        lambda engine: engine.locations(value),
        lambda engine: engine.is_member(value, "c"),
        lambda engine: engine.is_member("u", value),
        lambda engine: engine.users(value),
        lambda engine: engine.digest(value),
        lambda engine: engine.route(value, EVENT),
        lambda engine: engine.route_many([("c", EVENT), (value, EVENT)]),
        lambda engine: engine.route_user(value, EVENT),
        lambda _: fanout.message_frame(1, 0, value, EVENT),
        lambda _: fanout.presence_digest(["u", value]),
    ]


@pytest.mark.parametrize("value", ["", "a.b", "a b", "a:b", "*", ">", "é", "a\n", "x" * 129, "\ud800"])
def test_an_id_outside_the_charset_is_a_value_error(engine: Engine, value: str) -> None:
    for call in _calls(value):
        with pytest.raises(ValueError):  # noqa: PT011 - a lone surrogate is Python's own ValueError
            call(engine)
    assert engine.stats()["users"] == 0


@pytest.mark.parametrize("value", [1, b"u", ["u"], 1.5])
def test_an_id_that_is_no_string_is_a_type_error(engine: Engine, value: object) -> None:
    for call in _calls(value):
        with pytest.raises(TypeError):
            call(engine)


def test_bad_ids_are_the_error_of_the_library(engine: Engine) -> None:
    with pytest.raises(InvalidId, match="instance is"):
        engine.user_online("u", "a.b", [])
    with pytest.raises(InvalidId, match="exclude is"):
        engine.route("c", EVENT, exclude="a.b")
    with pytest.raises(InvalidId, match="actor is"):
        engine.route("c", EVENT, actor="a.b")


@pytest.mark.parametrize(
    ("packed", "place"),
    [
        (b"a b. c", 1),
        (b" a", 0),
        (b"a ", 1),
        (b"a  b", 1),
        (b" ", 0),
        (b"a\nb", 0),
        (b"a \xff", 1),
        (b"a " + b"x" * 129, 1),
    ],
)
@pytest.mark.parametrize("before", ["", "channel " * 200])
def test_a_packed_list_with_something_else_than_an_id_is_refused_whole(
    engine: Engine, packed: bytes, place: int, before: str
) -> None:
    place += before.count(" ")
    with pytest.raises(InvalidId, match=rf"channels\[{place}\]"):
        engine.user_online("ann", "i", before.encode() + packed)
    assert engine.stats()["users"] == 0


def test_a_packed_list_is_a_list(engine: Engine) -> None:
    assert engine.user_online("ann", "i", b"a b a") == 2
    assert engine.user_online("ben", "i", pack(LONG_LIST)) == len(LONG_LIST)
    assert engine.channels("ben") == frozenset(LONG_LIST)
    engine.user_online("cid", "i", engine.packed_channels("ben"))
    assert engine.channels("cid") == engine.channels("ben")
    assert engine.user_online("ben", "i", b"") == 0
    assert engine.channels("ben") == frozenset()


@pytest.mark.parametrize("channels", [bytearray(b"a b"), memoryview(b"a b")])
def test_packed_ids_are_bytes(engine: Engine, channels: Any) -> None:
    with pytest.raises(TypeError, match=r"channels\[0\] must be a str"):
        engine.user_online("ann", "i", channels)


def test_a_stored_event_with_a_bad_id_is_refused_alone(engine: Engine) -> None:
    engine.open_lane(1, 0, 0)
    events = [(1, "a.b", EVENT, None), (2, "c", EVENT, "a.b"), (3, "c", EVENT, "u")]
    assert [seq for seq, _ in engine.route_stored("member", 1, 0, events)] == [1, 2]


def test_one_string_is_no_list_of_channels(engine: Engine) -> None:
    with pytest.raises(TypeError, match="not one string"):
        engine.user_online("u", "i", "general")


def test_channels_may_come_from_any_iterable(engine: Engine) -> None:
    assert engine.user_online("u", "i", (name for name in ["a", "b", "a"])) == 2
    assert engine.user_online("u", "i", {"b", "c"}) == 1
    assert engine.channels("u") == {"b", "c"}


def test_an_iterable_that_fails_changes_nothing(engine: Engine) -> None:
    engine.user_online("u", "i", ["a"])
    with pytest.raises(ZeroDivisionError):
        engine.user_online("u", "i", (str(1 // number) for number in [1, 0]))
    assert engine.channels("u") == {"a"}


@pytest.mark.parametrize("event", [b"", b"[]", b"1", b'{"a":1', b"{}{}", b'{"a":NaN}', b'{"a":"\xff"}'])
def test_an_event_is_one_json_object(engine: Engine, event: bytes) -> None:
    engine.open_lane(1, 0, 0)
    engine.user_online("u", "i", ["c"])
    calls: list[Callable[[], object]] = [
        lambda: engine.route("c", event),
        lambda: engine.route_many([("c", EVENT), ("c", event)]),
        lambda: engine.route_user("u", event),
    ]
    for call in calls:
        with pytest.raises(InvalidEvent):
            call()
    [(seq, _)] = engine.route_stored("member", 1, 0, [(1, "c", event)])
    assert (seq, engine.drain(force=True)) == (1, [])


@pytest.mark.parametrize("event", ["{}", None, {}, [123, 125]])
def test_an_event_that_is_not_bytes_is_a_type_error(engine: Engine, event: Any) -> None:
    with pytest.raises(TypeError):
        engine.route("c", event)
    with pytest.raises(TypeError):
        engine.route_many([("c", event)])


@pytest.mark.parametrize(
    "arguments",
    [
        {"flush_interval": -0.001},
        {"flush_interval": float("inf")},
        {"cache_ttl": float("nan")},
        {"flush_events": 0},
        {"flush_events": -1},
        {"cache_users": -1},
        {"cache_users": 2**64},
    ],
)
def test_an_engine_refuses_what_makes_no_sense(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the class is the contract
        Engine(**arguments)


def test_a_count_must_be_an_integer() -> None:
    with pytest.raises(TypeError):
        Engine(flush_events=1.5)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("number", [-1, 2**64])
def test_numbers_out_of_range_are_value_errors(engine: Engine, number: int) -> None:
    for call in (
        lambda: engine.open_lane(number, 0, 0),
        lambda: engine.open_lane(1, number, 0),
        lambda: engine.advance(1, number),
        lambda: engine.route_stored("member", 1, 0, [(number, "c", b"{}")]),
        lambda: fanout.partition_of("c", number),
    ):
        with pytest.raises(ValueError, match="negative or too large"):
            call()


def test_a_partition_is_that_of_nats_server() -> None:
    assert fanout.partition_of("general", 1) == 0
    assert fanout.partition_of("a", 2**32 - 1) == 0xE40C292C
    with pytest.raises(ValueError, match="at least 1"):
        fanout.partition_of("general", 0)


def test_the_unknown_is_empty(engine: Engine) -> None:
    assert engine.instances("c") == frozenset()
    assert engine.members("c") == {}
    assert engine.channels("u") == engine.locations("u") == frozenset()
    assert engine.users("i") == []
    assert engine.digest("i") == (0, 0) == fanout.presence_digest([])
    assert not engine.is_member("u", "c")
    assert engine.user_offline("u", "i") == engine.drop_instance("i") == 0
    assert not engine.join("u", "c")
    assert not engine.leave("u", "c")
    engine.forget("u")
    engine.close_lane(7)
    assert engine.route("c", EVENT) == engine.route_user("u", EVENT) == engine.mark() == 0
    assert engine.next_due() is None


def test_a_user_nobody_knows_has_to_be_loaded(engine: Engine) -> None:
    with pytest.raises(MembershipUnknown, match="ann"):
        engine.user_online("ann", "i")
    assert engine.locations("ann") == frozenset()
    assert engine.user_online("ann", "i", []) == 0
    assert engine.locations("ann") == {"i"}


def test_the_list_of_a_user_who_left_is_cached(engine: Engine) -> None:
    engine.user_online("ann", "i", ["a"])
    engine.user_offline("ann", "i")
    assert not engine.join("ann", "b")
    assert not engine.leave("ann", "a")
    assert engine.user_online("ann", "j") == 1
    assert engine.channels("ann") == {"b"}


def test_a_cached_list_lives_for_its_time() -> None:
    engine = Engine(cache_ttl=0.0)
    engine.user_online("ann", "i", ["a"])
    assert engine.user_online("ann", "j") == 1, "the table itself holds the list of an online user"
    engine.drop_instance("i")
    engine.drop_instance("j")
    with pytest.raises(MembershipUnknown):
        engine.user_online("ann", "i")


def test_the_cache_gives_up_the_list_used_least_recently() -> None:
    engine = Engine(cache_users=2)
    for user in ("ann", "ben"):
        engine.user_online(user, "i", ["a"])
        engine.user_offline(user, "i")
    engine.user_online("ann", "i")
    engine.user_online("cat", "i", ["a"])
    engine.drop_instance("i")
    assert engine.stats()["cached_users"] == 2
    assert engine.user_online("ann", "i") == 1
    assert engine.user_online("cat", "i") == 0
    with pytest.raises(MembershipUnknown):
        engine.user_online("ben", "i")


def test_a_forgotten_user_stays_placed_and_is_unknown_afterwards(engine: Engine) -> None:
    engine.user_online("ann", "i", ["a"])
    engine.forget("ann")
    assert engine.instances("a") == {"i"}
    engine.user_offline("ann", "i")
    with pytest.raises(MembershipUnknown):
        engine.user_online("ann", "i")


def test_long_answers_are_whole(engine: Engine) -> None:
    engine.user_online("ann", "i", LONG_LIST)
    assert engine.channels("ann") == frozenset(LONG_LIST)
    assert sorted(engine.packed_channels("ann").decode().split(" ")) == sorted(LONG_LIST)
    users = [f"user-{number:04}" for number in range(1_000)]
    for user in users:
        engine.user_online(user, f"i{user[-1]}", ["hall"])
    members = engine.members("hall")
    assert sorted(user for group in members.values() for user in group) == users
    assert members["i3"] == engine.users("i3") == users[3::10]
    assert engine.digest("i3") == fanout.presence_digest(reversed(users[3::10]))


def test_a_batch_falls_due() -> None:
    engine = Engine(flush_interval=0.01)
    engine.user_online("ann", "i", ["a"])
    engine.route("a", EVENT)
    wait = engine.next_due()
    assert wait is not None
    assert wait <= 0.01
    time.sleep(wait)
    assert [instance for instance, _ in engine.drain()] == ["i"]


def test_names_are_freed_with_their_last_user(engine: Engine) -> None:
    held = []
    for turn in range(30):
        engine.user_online("ann", f"i-{turn}", [f"{turn}-{name}" for name in LONG_LIST])
        engine.drop_instance(f"i-{turn}")
        engine.forget("ann")
        held.append(engine.stats()["bytes_total"])
    assert held[-1] < 2 * held[0]
