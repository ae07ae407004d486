import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from fanout import Engine, Hub, MembershipUnknown, decode_batch, presence_digest

EVENT = b'{"type":"hello"}'
USERS = [f"user-{number}" for number in range(6)]
INSTANCES = ["i1", "i2", "i3"]
CHANNELS = [f"channel-{number}" for number in range(600)]
HUGE_LIST = [f"huge-{number}" for number in range(100_000)]
CHANGED = "channels changed size during the call"


def _together(*jobs: Callable[[], object]) -> None:
    """Run each job in a thread of its own, all released at once; the first failure is raised."""
    start = threading.Barrier(len(jobs))

    def run(job: Callable[[], object]) -> None:
        start.wait(timeout=60)
        job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        futures: list[Future[None]] = [pool.submit(run, job) for job in jobs]
        for future in futures:
            future.result(timeout=100)


def _assert_sound(engine: Engine) -> None:
    """Every way to ask gives the same table."""
    rosters = {instance: engine.users(instance) for instance in INSTANCES}
    entries = set()
    for user in USERS:
        assert engine.locations(user) == {instance for instance, users in rosters.items() if user in users}
    for instance, users in rosters.items():
        assert engine.digest(instance) == presence_digest(users)
        entries |= {(channel, instance) for user in users for channel in engine.channels(user)}
    for channel in CHANNELS:
        members = {
            instance: [user for user in users if engine.is_member(user, channel)] for instance, users in rosters.items()
        }
        assert engine.members(channel) == {instance: users for instance, users in members.items() if users}
    assert engine.stats()["entries"] == len(entries)


def _hurry(engine: Engine, seed: int) -> None:
    """Do what comes to mind to the same few users as everybody else."""
    mind = random.Random(seed)  # noqa: S311 - a repeatable choice, no secret
    for _ in range(150):
        user, instance, channel = mind.choice(USERS), mind.choice(INSTANCES), mind.choice(CHANNELS)
        match mind.randrange(8):
            case 0 | 1 | 2:
                engine.user_online(user, instance, mind.sample(CHANNELS, mind.randrange(len(CHANNELS))))
            case 3:
                _online_if_known(engine, user, instance)
            case 4:
                engine.user_offline(user, instance)
            case 5:
                engine.drop_instance(instance)
            case 6:
                engine.join(user, channel)
            case _:
                engine.leave(user, channel)
        engine.route(channel, EVENT)


def _online_if_known(engine: Engine, user: str, instance: str) -> None:
    try:
        engine.user_online(user, instance)
    except MembershipUnknown:
        engine.forget(user)


@pytest.mark.parametrize("seed", range(4))
def test_writers_of_the_same_users_leave_a_sound_table(seed: int) -> None:
    engine = Engine(cache_users=3)
    _together(*(lambda part=part: _hurry(engine, 10 * seed + part) for part in range(4)))
    _assert_sound(engine)
    for instance in INSTANCES:
        engine.drop_instance(instance)
    stats = engine.stats()
    assert stats["entries"] == stats["channels"] == stats["users"] == stats["instances"] == stats["pending_events"] == 0


def test_writers_of_different_users_come_to_the_same_table_in_any_order() -> None:
    engine, alone = Engine(), Engine()
    lists = {user: CHANNELS[number * 50 : number * 50 + 300] for number, user in enumerate(USERS)}

    def login(target: Engine, user: str) -> None:
        for instance in INSTANCES:
            target.user_online(user, instance, lists[user])
        target.user_offline(user, INSTANCES[0])
        target.leave(user, lists[user][0])

    _together(*(lambda user=user: login(engine, user) for user in USERS))
    for user in USERS:
        login(alone, user)
    assert all(engine.members(channel) == alone.members(channel) for channel in CHANNELS)
    assert engine.stats()["entries"] == alone.stats()["entries"]


@contextmanager
def _counting(look: Callable[[], object]) -> Iterator[Callable[[], int]]:
    """Look again and again in a thread; says how many looks were answered so far."""
    stop, count = threading.Event(), [0]

    def run() -> None:
        while not stop.is_set():
            look()
            count[0] += 1

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(run)
        try:
            yield lambda: count[0]
        finally:
            stop.set()
            looking.result(timeout=60)


def test_readers_are_answered_during_a_login_of_100_thousand_channels() -> None:
    engine = Engine()
    engine.user_online("ann", "i1", ["general"])

    def look() -> None:
        assert engine.instances("general") == {"i1"}
        assert engine.route("general", EVENT) == 1
        assert len(engine.drain(force=True)) == 1

    with _counting(look) as answered:
        engine.user_online("big", "i2", HUGE_LIST)
        during = []
        for _ in range(5):
            before = answered()
            assert engine.user_offline("big", "i2") == len(HUGE_LIST)
            assert engine.user_online("big", "i2") == len(HUGE_LIST)
            during.append(answered() - before)
    assert max(during) > 0


def test_a_lane_and_ephemeral_events_keep_their_order_side_by_side() -> None:
    engine = Engine()
    engine.user_online("ann", "i1", ["general"])
    engine.open_lane(1, 1, 0)
    seqs = range(1, 1_001)

    def stored() -> None:
        for seq in seqs:
            engine.route_stored("member", 1, 0, [(seq, "general", EVENT)])

    def ephemeral() -> None:
        for _ in seqs:
            engine.route("general", EVENT)

    _together(stored, ephemeral)
    records = [record for _, payload in engine.drain(force=True) for record in decode_batch(payload)]
    chain = [(record.prev, record.seq) for record in records if record.lane]
    assert chain == [(seq - 1, seq) for seq in seqs]
    assert len(records) == 2_000


def _message(seq: int) -> tuple[int, str, bytes]:
    message = b'{"message_id":"msg_%026d","channel_id":"general","sender_id":"ann","text":"hi","sent_at":"now"}' % seq
    return seq, "general", b'{"event_id":"e","type":"t","channel_id":"general","message":%s}' % message


def test_a_lane_that_is_opened_again_gets_no_part_of_what_is_being_routed() -> None:
    engine = Engine()
    engine.user_online("ann", "i1", ["general"])
    events = [_message(seq) for seq in range(1, 2_001)]

    def reopen() -> None:
        engine.open_lane(1, 1, 0)

    for _ in range(10):
        engine.open_lane(1, 0, 0)
        with _counting(reopen):
            engine.route_stored("message.new", 1, 0, events)
        records = [record for _, payload in engine.drain(force=True) for record in decode_batch(payload)]
        assert [(record.prev, record.seq) for record in records] == [(seq - 1, seq) for seq, *_ in events]
        assert len({record.epoch for record in records}) == 1


def _changing(by: Callable[[], object], read: Callable[[], object]) -> list[object]:
    """Read a list again and again while another thread changes it; returns the answers, and the texts of errors."""
    answers: list[object] = []
    with _counting(by):
        for _ in range(60):
            try:
                answers.append(read())
            except RuntimeError as error:
                answers.append(str(error))
    return answers


def test_a_list_that_another_thread_changes_is_read_whole_or_refused() -> None:
    engine, channels = Engine(), list(HUGE_LIST)

    def shrink_or_grow() -> None:
        if len(channels) == len(HUGE_LIST):
            del channels[50_000:]
        else:
            channels.extend(HUGE_LIST[50_000:])

    lengths = set(_changing(shrink_or_grow, lambda: len(engine.widths(channels))))
    assert CHANGED in lengths, "no change came during a call"
    assert lengths <= {CHANGED, 50_000, 100_000}


def test_a_login_whose_list_changes_is_done_whole_or_not_at_all() -> None:
    engine, channels = Engine(), list(HUGE_LIST)

    def shrink_or_grow() -> None:
        if len(channels) == len(HUGE_LIST):
            channels.pop()
        else:
            channels.append(HUGE_LIST[-1])

    def login() -> int:
        engine.drop_instance("i")
        engine.user_online("u", "i", channels)
        return engine.membership_count("u")

    assert set(_changing(shrink_or_grow, login)) <= {CHANGED, 99_999, 100_000}
    assert len(engine.channels("u")) in {0, 99_999, 100_000}


class Meddling:
    """A seq that changes the list in which it stands when it is read."""

    def __init__(self, seq: int, meddle: Callable[[], object]) -> None:
        self._seq, self._meddle = seq, meddle

    def __index__(self) -> int:
        self._meddle()
        return self._seq


@pytest.mark.parametrize("meddle", [list.clear, list.pop, lambda events: events.append(events[0])])
def test_a_list_that_an_item_changes_is_refused(meddle: Callable[[list[Any]], object]) -> None:
    engine, events = Engine(), list[Any]()
    engine.open_lane(1, 0, 0)
    events += [(Meddling(1, lambda: meddle(events)), "c", EVENT), (2, "c", EVENT), (3, "c", EVENT)]
    with pytest.raises(RuntimeError, match="events changed size during the call"):
        engine.route_stored("member", 1, 0, events)
    assert engine.route_stored("member", 1, 0, [(1, "c", EVENT)]) == [], "nothing was routed"


def test_a_list_of_sockets_that_an_item_changes_is_refused() -> None:
    hub, sockets = Hub(Engine()), list[Any]()
    sockets += [Meddling(1, sockets.clear), 2]
    with pytest.raises(RuntimeError, match="also changed size during the call"):
        hub.deliver("c", b"", also=sockets)
