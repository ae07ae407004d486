"""The cache of the newest messages, as the services use it. Its model is tested in the core."""

import pytest

from fanout import Deliveries, Engine, InvalidId, LogCache, client_event, partition_of, text_frame

ID = "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV"
PARTITIONS = 4


def stored(channel: str, text: str) -> bytes:
    message = f'{{"message_id":"{ID}","channel_id":"{channel}","sender_id":"u","text":"{text}","sent_at":"t"}}'
    return f'{{"event_id":"e","type":"message.new","channel_id":"{channel}","message":{message}}}'.encode()


def frame(seq: int, channel: str, text: str) -> bytes:
    part = partition_of(channel, PARTITIONS)
    return text_frame(client_event("message.new", seq, part, channel, stored(channel, text)))


@pytest.fixture
def cache() -> LogCache:
    engine = Engine()
    engine.user_online("alice", "session", ["general", "random"])
    return LogCache(engine, PARTITIONS, 1 << 20)


def filled(cache: LogCache) -> LogCache:
    events = [(seq, f"messages.send.{channel}", stored(channel, str(seq)), seq * 10) for seq, channel in LOG]
    assert cache.add(0, 9, Deliveries.of([*events, (8, "messages.send.general", b"broken")])) == 1
    return cache


LOG = [(2, "general"), (3, "secret"), (5, "random"), (7, "general")]
NO_POINTS = [0] * PARTITIONS


def test_a_client_gets_the_frames_that_it_would_have_had_live(cache: LogCache) -> None:
    assert cache.missing(0, 9) == (0, 9)
    filled(cache)
    assert cache.missing(0, 9, with_frames=True) is None
    frames = frame(2, "general", "2") + frame(5, "random", "5") + frame(7, "general", "7")
    assert cache.next("alice", NO_POINTS, 0, 9, 1 << 20) == (frames, 9, 3)
    assert cache.next("alice", NO_POINTS, 0, 9, 1) == (frame(2, "general", "2"), 4, 1)
    assert cache.next("alice", NO_POINTS, 4, 9, 1) == (frame(5, "random", "5"), 6, 1)
    assert cache.count("alice", NO_POINTS, 9) == 3
    assert cache.bytes >= len(frames)


def test_a_client_has_what_is_up_to_its_point_of_the_partition(cache: LogCache) -> None:
    filled(cache)
    points = list(NO_POINTS)
    points[partition_of("general", PARTITIONS)] = 2
    assert cache.next("alice", points, 0, 6, 1 << 20)[2] == 1
    assert cache.count("alice", [7] * PARTITIONS, 9) == 0


def test_a_channel_that_is_named_gives_what_was_stored_within_its_spans(cache: LogCache) -> None:
    filled(cache)
    spans = [("general", 30, 71), ("random", 0, 50), ("secret", 0, 1000)]
    assert cache.next("alice", NO_POINTS, 0, 9, 1 << 20, spans) == (frame(7, "general", "7"), 9, 1)
    assert cache.count("alice", NO_POINTS, 9, [("general", 0, 0)]) == 1


def test_frames_that_were_dropped_are_missing(cache: LogCache) -> None:
    filled(cache)
    small = LogCache(Engine(), PARTITIONS, 0)
    for after in (0, 1024):
        small.add(after, after + 1024, Deliveries.of([(after + 1, "s.general", stored("general", "x"), 1)]))
    assert (small.missing(0, 2048), small.missing(0, 2048, with_frames=True)) == (None, (0, 1024))


def test_old_messages_are_forgotten_and_all_of_them(cache: LogCache) -> None:
    filled(cache)
    assert (cache.time_upto(6), cache.time_upto(1), cache.time_upto(5000)) == (50, None, None)
    cache.forget(7)
    assert cache.missing(0, 9) is None
    cache.clear()
    assert (cache.missing(0, 9), cache.bytes) == ((0, 9), 0)
    assert repr(cache) == "<fanout.LogCache bytes=0 chunks=0 channels=0>"


def test_wrong_arguments_are_named(cache: LogCache) -> None:
    with pytest.raises(ValueError, match="partitions must be at least 1"):
        LogCache(Engine(), 0, 0)
    with pytest.raises(InvalidId):
        cache.count("a b", NO_POINTS, 9)
    with pytest.raises(TypeError, match=r"points\[1\] must be an int"):
        cache.next("alice", [0, "1"], 0, 9, 1)  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"spans\[0\] must be \(channel, from, until\), not a tuple of 2"):
        cache.count("alice", NO_POINTS, 9, [("c", 1)])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"spans\[0\]\[1\]"):
        cache.count("alice", NO_POINTS, 9, [("c", -1, 2)])
