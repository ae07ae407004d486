"""`repr` shows little of an object, whatever it holds."""

import fanout
from fanout import Deliveries, DeliveryBuffer, Engine, Hub, InboundBatch, LaneProgress, Splitter

EVENT = b'{"text":"' + b"x" * 1_000 + b'"}'


def _engine() -> Engine:
    engine = Engine()
    engine.user_online("ann", "i1", ["a", "b"])
    engine.user_online("ben", "i2", ["b"])
    return engine


def test_an_engine_shows_its_counts() -> None:
    engine = _engine()
    engine.route("b", EVENT)
    assert repr(engine) == "<fanout.Engine users=2 channels=2 instances=2 pending_events=2>"
    assert repr(Engine()) == "<fanout.Engine users=0 channels=0 instances=0 pending_events=0>"


def test_a_hub_shows_its_counts() -> None:
    hub = Hub(Engine())
    sockets = [hub.add(session, None, 1_000) for session in ("s1", "s2")]
    hub.open(sockets[0], b"frame")
    assert repr(hub) == "<fanout.Hub sockets=2 frames=1>"
    hub.remove(sockets[0])
    assert repr(hub) == "<fanout.Hub sockets=1 frames=0>"


def test_an_event_of_a_batch_shows_its_fields_and_the_start_of_the_rest() -> None:
    engine = _engine()
    engine.open_lane(3, 1, 5)
    engine.route_stored("member", 3, 0, [(7, "a", EVENT, "u" * 128)])
    [(_, batch)] = engine.drain(force=True)
    [event] = fanout.decode_batch(batch)
    assert repr(event) == (
        "<fanout.BatchEvent kind='member' lane=3 epoch=1 prev=5 seq=7 channel='a' "
        f"user='{'u' * 40}'... event=b'{EVENT[:40].decode()}'...>"
    ).replace('"', '\\"')


def test_a_mark_shows_that_it_has_no_event() -> None:
    engine = _engine()
    engine.open_lane(3, 1, 5)
    engine.mark()
    event = fanout.decode_batch(engine.drain(force=True)[0][1])[0]
    assert repr(event) == (
        "<fanout.BatchEvent kind='mark' lane=3 epoch=1 prev=5 seq=5 channel=None user=None event=b''>"
    )


def test_an_inbound_batch_shows_its_length_and_whether_it_is_done() -> None:
    engine = _engine()
    engine.route("a", EVENT)
    [(_, batch)] = engine.drain(force=True)
    inbound = InboundBatch(batch)
    assert repr(inbound) == f"<fanout.InboundBatch bytes={len(batch)} is_done=False>"
    Hub(Engine()).receive(inbound, LaneProgress(), 10)
    assert repr(inbound) == f"<fanout.InboundBatch bytes={len(batch)} is_done=True>"


def test_lane_progress_shows_the_first_lanes() -> None:
    progress = LaneProgress()
    assert repr(progress) == "<fanout.LaneProgress upto={}>"
    progress.advance(2, 9, plain=True)
    assert repr(progress) == "<fanout.LaneProgress upto={2: 9}>"
    for lane in range(1, 1_000):
        progress.advance(lane, 9, plain=True)
    assert repr(progress).endswith("7: 9, 8: 9, ...}>")


def test_deliveries_and_what_they_wait_in_show_their_counts() -> None:
    assert repr(Deliveries.of([(1, "s.a", b"1"), (4, "s.b", b"2")])) == "<fanout.Deliveries events=2 last_seq=4>"
    assert repr(DeliveryBuffer(10)) == "<fanout.DeliveryBuffer events=0 bytes=0 error=None>"
    splitter = Splitter()
    splitter.take(1, DeliveryBuffer(10))
    assert repr(splitter) == "<fanout.Splitter subscriptions=1>"
