from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fanout
from fanout import BatchEvent, Engine, InvalidEvent, client_event, decode_batch, message_frame, text_frame
from tests.support.stored import stored_message

EVENT = b'{"type":"hello"}'
LIMIT = 512 * 1024


def _engine(**users: list[str]) -> Engine:
    """An engine with each user on an instance of the same name."""
    engine = Engine(flush_interval=60)
    for user, channels in users.items():
        engine.user_online(user, user, channels)
    return engine


def _records(engine: Engine, instance: str) -> list[BatchEvent]:
    payloads = [payload for name, payload in engine.drain(force=True) if name == instance]
    return [record for payload in payloads for record in decode_batch(payload)]


def _chain(engine: Engine, instance: str) -> list[tuple[int, int, int, int]]:
    return [(record.lane, record.epoch, record.prev, record.seq) for record in _records(engine, instance)]


def test_an_ephemeral_event_names_its_channel_and_actor() -> None:
    engine = _engine(ann=["c"])
    assert engine.route("c", EVENT, actor="ben") == 1
    [record] = _records(engine, "ann")
    assert (record.lane, record.epoch, record.prev, record.seq) == (0, 0, 0, 0)
    assert (record.channel, record.user, record.event) == ("c", "ben", EVENT)
    assert record.frame == text_frame(EVENT)


def test_a_users_event_goes_to_each_instance_of_the_user() -> None:
    engine = _engine(ann=["c"])
    engine.user_online("ann", "elsewhere")
    assert engine.route_user("ann", EVENT) == 2
    [record] = _records(engine, "elsewhere")
    assert (record.channel, record.user) == (None, "ann")


def test_the_origin_can_be_left_out() -> None:
    engine = _engine(ann=["c"], ben=["c"])
    assert engine.route("c", EVENT, exclude="ann") == 1
    assert [instance for instance, _ in engine.drain(force=True)] == ["ben"]


def test_many_events_keep_their_order() -> None:
    engine = _engine(ann=["c", "d"], ben=["d"])
    events = [(channel, b'{"n":%d}' % number) for number, channel in enumerate("cdcd")]
    assert engine.route_many(events) == 6
    assert [(record.channel, record.event) for record in _records(engine, "ann")] == events


def test_a_batch_is_due_at_its_count() -> None:
    engine = Engine(flush_interval=60, flush_events=3)
    engine.user_online("ann", "i", ["c"])
    assert engine.route_many([("c", EVENT)] * 2) == 2
    assert engine.drain() == []
    engine.route("c", EVENT)
    assert engine.next_due() == 0
    [(instance, payload)] = engine.drain()
    assert (instance, len(decode_batch(payload))) == ("i", 3)


@pytest.mark.parametrize("max_batch", [4_096, 65_536, 3 << 20])
def test_batches_are_cut_by_what_the_bus_takes(max_batch: int) -> None:
    engine = Engine(flush_interval=60, max_batch=max_batch)
    engine.user_online("ann", "ann", ["c"])
    events = [b'{"n":%d,"text":"%s"}' % (number, b"x" * 1_000) for number in range(200)]
    engine.route_many([("c", event) for event in events])
    payloads = [payload for _, payload in engine.drain(force=True)]
    assert max(map(len, payloads)) <= max_batch // 2
    assert [record.event for payload in payloads for record in decode_batch(payload)] == events


def test_an_event_that_no_batch_can_hold_is_refused_and_the_lane_goes_on() -> None:
    engine = Engine(flush_interval=60)
    engine.user_online("ann", "ann", ["c"])
    engine.max_batch = 65_536
    engine.open_lane(1, 1, 0)
    long = stored_message("c", text="x" * 65_000)
    refused = engine.route_stored("message.new", 1, 0, [(1, "c", stored_message("c", text="a")), (2, "c", long)])
    assert [(seq, "too long for the bus" in reason) for seq, reason in refused] == [(2, True)]
    assert engine.route_stored("message.new", 1, 0, [(3, "c", stored_message("c", text="b"))]) == []
    assert _chain(engine, "ann") == [(1, 1, 0, 1), (1, 1, 1, 3)]


def test_a_limit_that_holds_no_event_is_refused() -> None:
    with pytest.raises(ValueError, match="max_batch must be from 4096 to"):
        Engine(max_batch=4_095)
    engine = Engine()
    with pytest.raises(ValueError, match="max_batch must be from 4096 to"):
        engine.max_batch = 0
    assert engine.max_batch == 1_048_576


def test_what_is_too_long_for_one_message_is_split_in_order() -> None:
    engine = _engine(ann=["c"])
    events = [b'{"n":%d,"text":"%s"}' % (number, b"x" * 100_000) for number in range(12)]
    engine.route_many([("c", event) for event in events])
    due = [payload for _, payload in engine.drain()]
    rest = [payload for _, payload in engine.drain(force=True)]
    assert len(due) == 2
    assert max(map(len, due + rest)) <= LIMIT
    assert [record.event for payload in due + rest for record in decode_batch(payload)] == events


def test_a_bulk_call_is_routed_whole_and_in_order_however_long_it_is() -> None:
    engine = _engine(ann=["c"], ben=["c", "d"])
    engine.open_lane(5, 2, 0)
    sound = [(seq, "cd"[seq % 2], stored_message("cd"[seq % 2])) for seq in range(1, 301)]
    refused = {2, 32, 33, 64, 150, 300}
    events = [(seq, channel, b"{}" if seq in refused else payload) for seq, channel, payload in sound]
    assert [seq for seq, _ in engine.route_stored("message.new", 5, 1, events)] == sorted(refused)
    engine.mark()
    batches = {name: decode_batch(payload) for name, payload in engine.drain(force=True)}
    *records, mark = batches["ben"]
    assert [record.seq for record in records] == [seq for seq, *_ in events if seq not in refused]
    assert all(record.event == message_frame(record.seq, 1, *sound[record.seq - 1][1:]) for record in records)
    assert (mark.prev, mark.seq) == (299, 300)
    assert [record.seq for record in batches["ann"][:-1]] == [
        seq for seq, channel, _ in events if seq not in refused and channel == "c"
    ]


def test_what_is_copied_is_a_payload_for_each_event_and_a_copy_for_each_target() -> None:
    engine = _engine(ann=["c"], ben=["c"], cat=["c"])
    engine.route("c", EVENT)
    payload = len(EVENT) + len("c") + 3
    assert engine.stats()["copied_bytes"] == payload
    drained = sum(len(batch) for _, batch in engine.drain(force=True))
    assert drained == 3 * (payload + 2)
    assert engine.stats()["copied_bytes"] == payload + drained
    engine.route_many([("c", EVENT), ("nobody-reads-it", EVENT)])
    assert engine.stats()["copied_bytes"] == payload + drained + 2 * payload + len("obody-reads-it")


def test_an_event_that_the_bus_cannot_carry_is_refused() -> None:
    engine = _engine(ann=["c"])
    longest = b'{"text":"%s"}' % (b"x" * (1024 * 1024 - 1024 - 11))
    assert engine.route("c", longest) == 1
    [(_, payload)] = engine.drain(force=True)
    assert len(payload) < 1024 * 1024
    with pytest.raises(InvalidEvent, match="too long"):
        engine.route("c", longest + b" ")


def test_each_event_of_a_lane_names_the_one_before_it_for_its_receiver() -> None:
    engine = _engine(ann=["c", "d"], ben=["d"])
    engine.open_lane(5, 2, 100)
    assert (
        engine.route_stored(
            "message.new",
            5,
            1,
            [(103, "c", stored_message("c")), (107, "d", stored_message("d")), (109, "c", stored_message("c"))],
        )
        == []
    )
    payloads = dict(engine.drain(force=True))
    chains = {
        instance: [(record.epoch, record.prev, record.seq) for record in decode_batch(payload)]
        for instance, payload in payloads.items()
    }
    assert chains == {"ann": [(2, 100, 103), (2, 103, 107), (2, 107, 109)], "ben": [(2, 103, 107)]}


def test_an_instance_that_comes_later_starts_where_the_lane_stands() -> None:
    engine = _engine(ann=["c"])
    engine.open_lane(5, 2, 100)
    engine.advance(5, 150)
    engine.user_online("ben", "ben", ["c"])
    engine.route_stored("member", 5, 0, [(160, "c", EVENT)])
    assert _chain(engine, "ben") == [(5, 2, 150, 160)]


def test_a_dropped_instance_starts_again() -> None:
    engine = _engine(ann=["c"])
    engine.open_lane(5, 2, 100)
    engine.route_stored("member", 5, 0, [(101, "c", EVENT)])
    engine.drop_instance("ann")
    assert engine.drain(force=True) == []
    engine.user_online("ann", "ann")
    engine.advance(5, 120)
    engine.route_stored("member", 5, 0, [(121, "c", EVENT)])
    assert _chain(engine, "ann") == [(5, 2, 120, 121)]


def test_lanes_interleave_each_with_its_own_chain() -> None:
    engine = _engine(ann=["c"])
    engine.open_lane(1, 7, 10)
    engine.open_lane(2, 8, 20)
    for lane, seq in [(1, 11), (2, 21), (1, 12), (2, 25)]:
        engine.route_stored("member", lane, 0, [(seq, "c", EVENT)])
    engine.route("c", EVENT)
    assert _chain(engine, "ann") == [(1, 7, 10, 11), (2, 8, 20, 21), (1, 7, 11, 12), (2, 8, 21, 25), (0, 0, 0, 0)]


def test_a_mark_tells_every_instance_how_far_each_lane_has_come() -> None:
    engine = _engine(ann=["c"], ben=[])
    engine.open_lane(1, 7, 10)
    engine.route_stored("member", 1, 0, [(11, "c", EVENT)])
    engine.advance(1, 30)
    assert engine.mark() == 2
    engine.route_stored("member", 1, 0, [(31, "c", EVENT)])
    records = dict(engine.drain(force=True))
    chain, mark = decode_batch(records["ann"]), decode_batch(records["ben"])
    assert [(record.prev, record.seq, record.event) for record in chain] == [
        (10, 11, EVENT),
        (11, 30, b""),
        (11, 31, EVENT),
    ]
    assert [(record.prev, record.seq, record.channel, record.user, record.frame) for record in mark] == [
        (30, 30, None, None, b"")
    ]


def test_a_stored_event_may_reach_one_user_more() -> None:
    engine = _engine(ann=["c"], ben=[])
    engine.open_lane(1, 0, 0)
    assert engine.route_stored("member", 1, 0, [(1, "c", EVENT, "ben")]) == []
    [record] = _records(engine, "ben")
    assert (record.channel, record.user, record.seq) == ("c", "ben", 1)
    events = [
        (2, "c", EVENT, "ann"),
        (3, "c", EVENT, None),
        (4, "c", EVENT, "ben"),
        (5, "nobody-reads-it", EVENT, "ben"),
    ]
    assert engine.route_stored("member", 1, 0, events) == []
    batches = dict(engine.drain(force=True))
    assert {name: [record.seq for record in decode_batch(batch)] for name, batch in batches.items()} == {
        "ann": [2, 3, 4],
        "ben": [4, 5],
    }


def test_a_stored_event_says_what_it_is() -> None:
    engine = _engine(ann=["c"])
    engine.open_lane(1, 0, 0)
    engine.route_stored("message.new", 1, 0, [(1, "c", stored_message())])
    engine.route_stored("member", 1, 0, [(2, "c", EVENT)])
    engine.mark()
    engine.route("c", EVENT)
    assert [record.kind for record in _records(engine, "ann")] == ["message.new", "member", "mark", "ephemeral"]


def test_a_record_of_a_newer_version_is_stepped_over() -> None:
    engine = _engine(ann=["c"])
    engine.open_lane(1, 0, 10)
    engine.route_stored("member", 1, 0, [(11, "c", EVENT)])
    [(_, payload)] = engine.drain(force=True)
    stored, ephemeral = b"\xff\x02\x05newer", b"\x7f\x05newer"
    records = decode_batch(payload + stored + ephemeral + b"\x01\x01\x03")
    assert [(record.kind, record.lane, record.prev, record.seq, record.event) for record in records] == [
        ("member", 1, 10, 11, EVENT),
        (None, 1, 11, 13, b""),
        (None, 0, 0, 0, b""),
        ("mark", 1, 13, 16, b""),
    ]


@pytest.mark.parametrize("kind", ["", "member.joined", "thread.reply"])
def test_a_kind_that_the_engine_does_not_know_is_a_value_error(kind: Any) -> None:
    engine = _engine(ann=["c"])
    engine.open_lane(1, 0, 0)
    with pytest.raises(ValueError, match="no kind"):
        engine.route_stored(kind, 1, 0, [(1, "c", EVENT)])
    assert engine.route_stored("member", 1, 0, [(1, "c", EVENT)]) == []


def test_a_closed_lane_and_a_seq_that_does_not_rise_are_refused() -> None:
    engine = _engine(ann=["c"])
    with pytest.raises(LookupError, match="lane 3"):
        engine.route_stored("message.new", 3, 0, [])
    with pytest.raises(ValueError, match="ephemeral"):
        engine.open_lane(0, 0, 0)
    engine.open_lane(3, 0, 5)
    for seqs in ([5], [6, 6], [7, 6]):
        with pytest.raises(ValueError, match=r"rise|follows"):
            engine.route_stored("message.new", 3, 0, [(seq, "c", stored_message()) for seq in seqs])
    assert engine.drain(force=True) == []
    engine.close_lane(3)
    for call in (lambda: engine.advance(3, 9), lambda: engine.route_stored("member", 3, 0, [(9, "c", EVENT)])):
        with pytest.raises(LookupError):
            call()


def test_what_can_never_be_delivered_is_returned_and_passed() -> None:
    engine = _engine(ann=["c"])
    engine.open_lane(1, 0, 0)
    events = [
        (1, "c", b"{}"),
        (2, "c", stored_message("other")),
        (3, "not.an.id", stored_message()),
        (4, "c", stored_message()),
        (5, "c", b""),
    ]
    refused = dict(engine.route_stored("message.new", 1, 0, events))
    assert list(refused) == [1, 2, 3, 5]
    assert "missing field" in refused[1]
    assert "same channel" in refused[2]
    assert _chain(engine, "ann") == [(1, 0, 3, 4)]
    with pytest.raises(ValueError, match="rise"):
        engine.route_stored("member", 1, 0, [(5, "c", EVENT)])


@pytest.mark.parametrize(
    ("fields", "kind", "thread"),
    [
        ({}, b"message.new", b""),
        ({"thread_id": "msg_1"}, b"thread.reply", b'"thread_id":"msg_1",'),
        ({"thread_id": "msg_1", "also_send_to_channel": True}, b"message.new", b""),
    ],
)
def test_a_message_is_wrapped_as_it_stands(fields: dict[str, Any], kind: bytes, thread: bytes) -> None:
    """For its batch, and from the log where the batch was lost, alike."""
    payload = stored_message(attachments=[{"size": 1.50}], **fields)
    wrapped = message_frame(7, 3, "c", payload)
    inner = bytes(msgspec.json.decode(payload, type=dict[str, msgspec.Raw])["message"])
    head = b'{"type":"%s","seq":7,"part":3,"channel_id":"c",%s"message":' % (kind, thread)
    assert wrapped == client_event("message.new", 7, 3, "c", payload) == head + inner + b"}"
    engine = _engine(ann=["c"])
    engine.open_lane(1, 0, 0)
    engine.route_stored("message.new", 1, 3, [(7, "c", payload)])
    [record] = _records(engine, "ann")
    assert record.event == wrapped


@pytest.mark.parametrize(("length", "head"), [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)])
def test_a_text_frame_is_final_and_unmasked(length: int, head: int) -> None:
    frame = text_frame(b"x" * length)
    assert frame[0] == 0x81
    assert frame[1] & 0x80 == 0
    assert frame[head:] == b"x" * length


@given(st.binary(max_size=200), st.booleans())
def test_foreign_bytes_are_a_value_error_or_records(payload: bytes, versioned: bool) -> None:  # noqa: FBT001
    try:
        records = decode_batch(b"\x02" + payload if versioned else payload)
    except ValueError:
        return
    assert all(isinstance(record, BatchEvent) for record in records)


def test_a_batch_that_is_cut_is_a_value_error() -> None:
    engine = _engine(ann=["c"])
    engine.route("c", EVENT)
    [(_, payload)] = engine.drain(force=True)
    for cut in [0, *range(2, len(payload))]:
        with pytest.raises(ValueError, match="cut"):
            decode_batch(payload[:cut])
    with pytest.raises(ValueError, match="version"):
        decode_batch(b"\x01" + payload[1:])
    with pytest.raises(TypeError):
        fanout.decode_batch("text")  # type: ignore[arg-type]  # that is the point


def test_a_suspended_instance_learns_when_it_is_resumed_that_it_may_have_missed_everything() -> None:
    engine = _engine(ann=["c"], ben=["c"])
    engine.open_lane(5, 1, 10)
    engine.route_stored("member", 5, 0, [(11, "c", EVENT)])
    engine.drain(force=True)
    engine.suspend("ann")
    assert engine.route_stored("member", 5, 0, [(12, "c", EVENT)]) == []
    assert engine.route("c", EVENT) == 2
    engine.mark()
    assert [(record.lane, record.seq) for record in _records(engine, "ann")] == [(0, 0)]
    assert engine.resume("ann")
    assert not engine.resume("ann")
    engine.mark()
    [mark] = _records(engine, "ann")
    assert (mark.prev, mark.seq) == (12, 12)


def test_an_instance_that_nobody_is_on_yet_may_be_suspended() -> None:
    engine = Engine(flush_interval=60)
    engine.suspend("ann")
    engine.user_online("ann", "ann", ["c"])
    engine.open_lane(5, 1, 10)
    engine.route_stored("member", 5, 0, [(11, "c", EVENT)])
    assert _records(engine, "ann") == []
    engine.resume("ann")
    engine.route_stored("member", 5, 0, [(12, "c", EVENT)])
    assert [(record.prev, record.seq) for record in _records(engine, "ann")] == [(11, 12)]
