"""What a newer version, or a broken one, sends to the running services is skipped and counted, and they go on."""

import pytest

from fanout import Engine, partition_of, subjects
from fanout.lanes import Lane
from fanout.streams import MESSAGES
from fanout.subjects import PRESENCE_DIGESTS, PRESENCE_HINTS, WORKERS
from services.runtime.skipping import HANDLERS_FAILED, MESSAGES_SKIPPED
from tests.support.harness import Client, Harness
from tests.support.observing import until

NEWER = [b'{"type":"newer"}', b"[" * 100_000, b"\x03newer", b""]
LANE_OF_A_NEWER_STREAM = 9


def _skipped(kind: str) -> float:
    return float(MESSAGES_SKIPPED.labels(kind)._value.get())


def _failures() -> float:
    return sum(sample.value for metric in HANDLERS_FAILED.collect() for sample in metric.samples)


@pytest.mark.parametrize(
    ("subject", "kind", "hearers"),
    [
        (WORKERS, "worker_notice", 2),
        (PRESENCE_DIGESTS, "digest", 1),
        (PRESENCE_HINTS, "presence_change", 1),
        (subjects.worker_inbox("worker-1"), "presence_set_page", 1),
        (subjects.channel_lists("worker-1"), "channels_request", 1),
        (subjects.instance_control("notif-1"), "control", 1),
        (subjects.instance_events("notif-1"), "batch", 1),
        (subjects.typing("general"), "typing", 1),
    ],
)
async def test_messages_of_a_newer_version_are_skipped_and_counted(
    harness: Harness, subject: str, kind: str, hearers: int
) -> None:
    alice = await _alice(harness)
    before, failures = _skipped(kind), _failures()
    await harness.bus.publish_many([(subject, payload) for payload in NEWER])
    await harness.say("general", "after")
    await until(lambda: alice.texts() == ["after"])
    assert _skipped(kind) == before + hearers * len(NEWER)
    assert _failures() == failures
    assert not harness.failures


async def test_records_of_an_unknown_lane_are_skipped_and_what_follows_is_delivered(harness: Harness) -> None:
    alice = await _alice(harness)
    before = _skipped("record")
    await harness.bus.publish(subjects.instance_events("notif-1"), _batch_with_an_unknown_lane())
    await until(lambda: bool(alice.of_type("typing")))
    await harness.say("general", "after")
    await until(lambda: alice.texts() == ["after"])
    assert _skipped("record") == before + 1
    assert not harness.failures


async def test_records_of_an_unknown_kind_are_stepped_over_and_counted(harness: Harness) -> None:
    alice = await _alice(harness)
    await harness.say("general", "before")
    await until(lambda: alice.texts() == ["before"])
    before, rests = _skipped("record"), _skipped("rest_of_batch")
    _, payload = _typing()
    unknown = b"\x7f\x05newer"
    await harness.bus.publish(subjects.instance_events("notif-1"), payload[:1] + unknown + payload[1:] + unknown)
    await until(lambda: bool(alice.of_type("typing")))
    await harness.say("general", "after")
    await until(lambda: alice.texts() == ["before", "after"])
    assert (_skipped("record"), _skipped("rest_of_batch")) == (before + 2, rests)
    assert not harness.failures


async def test_stored_events_of_an_unknown_kind_are_counted_once_and_close_no_gap(harness: Harness) -> None:
    alice = await _alice(harness)
    await harness.say("general", "before")
    await until(lambda: alice.texts() == ["before"])
    part = partition_of("general", harness.log.partitions)
    lane, position = Lane(MESSAGES, part).number, await harness.log.last_seq(MESSAGES)
    before = _skipped("record")
    engine = _engine()
    engine.open_lane(lane, 2**40, position)
    engine.mark()
    [(_, payload)] = engine.drain(force=True)
    beyond_the_log = b"\xff\x01\x05newer"
    await harness.bus.publish(subjects.instance_events("notif-1"), payload + beyond_the_log)
    await until(lambda: _skipped("record") == before + 1)
    assert alice.texts() == ["before"]
    assert not harness.failures


async def test_a_batch_that_goes_on_in_an_unknown_way_costs_no_stored_event(harness: Harness) -> None:
    alice = await _alice(harness)
    before = _skipped("rest_of_batch")
    _, payload = _typing()
    await harness.bus.publish(subjects.instance_events("notif-1"), payload + b"\x40newer")
    await harness.say("general", "after")
    await until(lambda: alice.texts() == ["after"])
    assert alice.of_type("typing")
    assert _skipped("rest_of_batch") == before + 1


async def _alice(harness: Harness) -> Client:
    await harness.create("general", "alice")
    return await harness.connect(await harness.add_instance("notif-1"), "alice")


def _engine() -> Engine:
    engine = Engine()
    engine.user_online("alice", "notif-1", ["general"])
    return engine


def _typing() -> tuple[str, bytes]:
    engine = _engine()
    engine.route("general", b'{"type":"typing","channel_id":"general","user_id":"bob","typing":true}')
    [batch] = engine.drain(force=True)
    return batch


def _batch_with_an_unknown_lane() -> bytes:
    engine = _engine()
    assert Lane(MESSAGES, 0).number != LANE_OF_A_NEWER_STREAM
    engine.open_lane(LANE_OF_A_NEWER_STREAM, 1, 0)
    event = b'{"type":"newer","channel_id":"general"}'
    engine.route_stored("member", LANE_OF_A_NEWER_STREAM, 0, [(1, "general", event)])
    engine.route("general", b'{"type":"typing","channel_id":"general","user_id":"bob","typing":true}')
    ((_, payload),) = engine.drain(force=True)
    return payload
