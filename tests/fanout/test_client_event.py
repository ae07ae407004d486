"""What clients get of a stored event is the same, whether it was routed or read from the log."""

import pytest

from fanout import Engine, InvalidEvent, client_event, decode_batch
from tests.support.stored import stored_message


def reading() -> Engine:
    """An engine with a reader of the channel `c`, and an open lane."""
    engine = Engine()
    engine.user_online("ann", "i", ["c"])
    engine.open_lane(1, 0, 0)
    return engine


@pytest.mark.parametrize("kind", ["message.new", "member"])
def test_who_reads_an_event_from_the_log_makes_the_bytes_that_are_in_the_batch(kind: str) -> None:
    payload, engine = stored_message(), reading()
    engine.route_stored(kind, 1, 3, [(7, "c", payload)])
    [(_, batch)] = engine.drain(force=True)
    [record] = decode_batch(batch)
    assert (record.kind, record.event) == (kind, client_event(kind, 7, 3, "c", payload))


@pytest.mark.parametrize("kind", ["message.new", "member"])
def test_who_reads_an_event_from_the_log_refuses_what_is_not_routed(kind: str) -> None:
    [(_, reason)] = reading().route_stored(kind, 1, 0, [(1, "c", b"[]")])
    with pytest.raises(InvalidEvent) as refused:
        client_event(kind, 1, 0, "c", b"[]")
    assert str(refused.value) == reason


def test_a_kind_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="no kind of stored events"):
        client_event("thread.reply", 1, 0, "c", stored_message())
