"""The contract of `fanout.ports.unread.UnreadCounts`, over every adapter."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from redis.asyncio import Redis

from fanout.ports import unread as port
from fanout.ports.messages import LogPlace
from fanout.ports.unread import CountedMessage, ReadPosition, Unread, UnreadCounts
from services.adapters.redis import unread_scripts
from services.adapters.redis.unread import RedisUnread
from services.adapters.sqlite import unread as sqlite_unread
from services.adapters.sqlite.unread import SqliteUnread
from tests.support.faulty import FaultyUnread
from tests.support.simulated_worlds import SIMULATED, SimulatedTier

Opener = Callable[[], Coroutine[Any, Any, RedisUnread | SqliteUnread]]


@pytest.fixture(params=[SqliteUnread, FaultyUnread, SIMULATED, "redis", "redis with a prefix"])
async def counts(request: pytest.FixtureRequest) -> AsyncIterator[UnreadCounts]:
    if request.param == SIMULATED:
        async with SimulatedTier.opened() as tier:
            yield tier.ports()[UnreadCounts]
        return
    if isinstance(request.param, str):
        prefix = "blue" if "prefix" in request.param else ""
        opened: RedisUnread | SqliteUnread = await _redis(request.getfixturevalue("redis_url"), prefix)
    else:
        adapter: type[SqliteUnread] = request.param
        opened = await adapter.open(None)
    yield opened
    await opened.close()


async def _redis(url: str, prefix: str = "") -> RedisUnread:
    client = Redis.from_url(url)
    await client.flushdb()
    await client.aclose()
    return await RedisUnread.open(url, prefix=prefix, deployment="dep_test")


def said(seq: int, sender: str = "bob", *mentions: str, channel: str = "c", in_channel: bool = True) -> CountedMessage:
    return CountedMessage(seq, channel, f"msg_{seq}", sender, mentions, in_channel, stored_ns=seq * 1_000)


async def unread_of(counts: UnreadCounts, user: str, channel: str = "c") -> Unread:
    return (await counts.unread(user, [channel])).get(channel, Unread(0, 0))


async def test_an_empty_store_has_counted_nothing(counts: UnreadCounts) -> None:
    assert await counts.place() is None
    (state,) = await counts.states("alice", ["c"])
    assert (state.place, state.latest_id, state.count, state.unread, state.mentions) == (0, "", 0, 0, 0)
    assert state.pointer == ReadPosition()
    assert await counts.unread("alice", ["c"]) == {}


async def test_messages_of_others_are_unread_and_own_ones_are_not(counts: UnreadCounts) -> None:
    await counts.count([said(1), said(2), said(3, "alice")], after=0)
    assert await unread_of(counts, "alice") == Unread(2, 0)
    assert await unread_of(counts, "bob") == Unread(1, 0)
    (state,) = await counts.states("alice", ["c"])
    assert (state.place, state.latest_id, state.latest_seq, state.count, state.own) == (3, "msg_3", 3, 3, 1)


async def test_the_place_is_the_newest_counted_message(counts: UnreadCounts) -> None:
    assert await counts.count([said(1), said(7)], after=0) == 7
    assert await counts.place() == LogPlace(7, 7_000)


async def test_a_message_that_comes_again_is_not_counted_again(counts: UnreadCounts) -> None:
    messages = [said(1), said(2, "bob", "alice"), said(3)]
    for _ in range(2):
        assert await counts.count(messages, after=0) == 3
        assert await counts.count(messages[1:], after=1) == 3
    assert await unread_of(counts, "alice") == Unread(3, 1)


async def test_a_store_that_lacks_earlier_messages_counts_nothing_and_says_where_it_is(counts: UnreadCounts) -> None:
    await counts.count([said(1)], after=0)
    assert await counts.count([said(5), said(6)], after=4) == 1
    assert await unread_of(counts, "alice") == Unread(1, 0)
    assert await counts.count([said(6)], after=1) == 6


async def test_a_new_store_begins_where_it_is_told(counts: UnreadCounts) -> None:
    assert await counts.count([said(101)], after=100) == 101


async def test_a_reply_that_is_in_its_thread_alone_mentions_and_does_not_count(counts: UnreadCounts) -> None:
    await counts.count([said(1), said(2, "bob", "alice", in_channel=False)], after=0)
    assert await unread_of(counts, "alice") == Unread(1, 1)
    (state,) = await counts.states("alice", ["c"])
    assert (state.latest_id, state.latest_seq, state.place) == ("msg_1", 1, 2)


async def test_marking_a_part_leaves_the_rest_unread_with_its_mentions(counts: UnreadCounts) -> None:
    await counts.count([said(seq, "bob", *(["alice"] if seq in {3, 9} else [])) for seq in range(1, 11)], after=0)
    assert await counts.mark_read("alice", "c", ReadPosition(4, 4, 0, "msg_4", "now"))
    assert await unread_of(counts, "alice") == Unread(6, 1)
    (state,) = await counts.states("alice", ["c"])
    assert state.pointer == ReadPosition(4, 4, 0, "msg_4", "now")


async def test_a_pointer_only_rises(counts: UnreadCounts) -> None:
    await counts.count([said(seq) for seq in range(1, 6)], after=0)
    assert await counts.mark_read("alice", "c", ReadPosition(4, 4))
    for seq in (4, 2):
        assert not await counts.mark_read("alice", "c", ReadPosition(seq, seq))
    assert await unread_of(counts, "alice") == Unread(1, 0)


async def test_a_pointer_may_be_ahead_of_the_counter(counts: UnreadCounts) -> None:
    await counts.count([said(1)], after=0)
    await counts.mark_read("alice", "c", ReadPosition(3, 3))
    assert await unread_of(counts, "alice") == Unread(0, 0)
    await counts.count([said(2, "bob", "alice"), said(3)], after=1)
    assert await unread_of(counts, "alice") == Unread(0, 0)
    await counts.count([said(4, "bob", "alice")], after=3)
    assert await unread_of(counts, "alice") == Unread(1, 1)


async def test_who_joins_begins_with_nothing_unread(counts: UnreadCounts) -> None:
    await counts.count([said(seq) for seq in range(1, 6)], after=0)
    assert await counts.joined("alice", "c", 10, ReadPosition(5, 5, 0, "msg_5"))
    assert await unread_of(counts, "alice") == Unread(0, 0)
    await counts.count([said(6)], after=5)
    assert await unread_of(counts, "alice") == Unread(1, 0)


async def test_a_join_does_not_lower_a_pointer(counts: UnreadCounts) -> None:
    await counts.count([said(seq) for seq in range(1, 6)], after=0)
    await counts.mark_read("alice", "c", ReadPosition(5, 5))
    assert await counts.joined("alice", "c", 10, ReadPosition(2, 2))
    assert await unread_of(counts, "alice") == Unread(0, 0)


async def test_a_join_that_is_not_newer_changes_nothing(counts: UnreadCounts) -> None:
    await counts.joined("alice", "c", 10, ReadPosition())
    await counts.count([said(1)], after=0)
    for version in (10, 9):
        assert not await counts.joined("alice", "c", version, ReadPosition(1, 1))
        assert not await counts.left("alice", "c", version)
    assert await unread_of(counts, "alice") == Unread(1, 0)


async def test_after_leaving_late_mentions_bring_nothing_back(counts: UnreadCounts) -> None:
    await counts.joined("alice", "c", 10, ReadPosition())
    await counts.count([said(1, "bob", "alice"), said(2)], after=0)
    assert await counts.left("alice", "c", 11)
    await counts.count([said(3, "bob", "alice")], after=2)
    (state,) = await counts.states("alice", ["c"])
    assert (state.mentions, state.pointer) == (0, ReadPosition())
    assert not await counts.joined("alice", "c", 10, ReadPosition())
    assert not await counts.mark_read("alice", "c", ReadPosition(3, 3))
    assert await counts.joined("alice", "c", 12, ReadPosition(4, 4))
    await counts.count([said(4, "bob", "alice")], after=3)
    assert await unread_of(counts, "alice") == Unread(0, 0)


async def test_own_messages_before_a_second_join_do_not_count(counts: UnreadCounts) -> None:
    await counts.joined("alice", "c", 10, ReadPosition())
    await counts.count([said(1, "alice"), said(2)], after=0)
    await counts.left("alice", "c", 11)
    (state,) = await counts.states("alice", ["c"])
    await counts.joined("alice", "c", 12, ReadPosition(2, state.count, state.own))
    await counts.count([said(3, "alice"), said(4)], after=2)
    assert await unread_of(counts, "alice") == Unread(1, 0)


async def test_counts_at_a_pointer_can_be_corrected(counts: UnreadCounts) -> None:
    await counts.count([said(1), said(2), said(3, "bob", "alice")], after=0)
    await counts.mark_read("alice", "c", ReadPosition(1, 1))
    assert await counts.correct("alice", "c", ReadPosition(1, -4, 0), [2, 3])
    assert await unread_of(counts, "alice") == Unread(7, 2)
    assert not await counts.correct("alice", "c", ReadPosition(2, 0), [])
    assert await unread_of(counts, "alice") == Unread(7, 2)


async def test_channels_do_not_touch_each_other(counts: UnreadCounts) -> None:
    await counts.count([said(1, channel="a"), said(2, "bob", "alice", channel="b")], after=0)
    await counts.mark_read("alice", "a", ReadPosition(1, 1))
    assert await counts.unread("alice", ["a", "b", "none"]) == {"b": Unread(1, 1)}
    states = await counts.states("alice", ["b", "a"])
    assert [state.latest_id for state in states] == ["msg_2", "msg_1"]


@pytest.fixture
def few_mentions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three mentions are known by position."""
    kept = port.MENTIONS_KEPT
    for name in ("COUNT", "CORRECT"):
        script = getattr(unread_scripts, name)
        monkeypatch.setattr(
            unread_scripts, name, script.replace(f"mentions_kept, left_kept = {kept}", "mentions_kept, left_kept = 3")
        )
    query = sqlite_unread._FORGET_OLD_MENTIONS
    monkeypatch.setattr(sqlite_unread, "_FORGET_OLD_MENTIONS", query.replace(f"OFFSET {kept}", "OFFSET 3"))


@pytest.mark.usefixtures("few_mentions")
@pytest.mark.parametrize("part", ["above", "below"])
async def test_beyond_its_bound_mentions_are_a_number(counts: UnreadCounts, part: str) -> None:
    await counts.count([said(seq, "bob", "alice") for seq in range(1, 8)], after=0)
    (state,) = await counts.states("alice", ["c"])
    assert (state.mentions, state.mentions_from) == (7, 5)
    if part == "above":
        await counts.mark_read("alice", "c", ReadPosition(5, 5))
        assert (await unread_of(counts, "alice")).mentions == 2
    else:
        await counts.mark_read("alice", "c", ReadPosition(3, 3), older_mentions=1)
        assert (await unread_of(counts, "alice")).mentions == 4


async def test_two_counters_at_once_count_each_message_once(counts: UnreadCounts) -> None:
    messages = [said(seq, "bob", "alice") for seq in range(1, 101)]

    async def counter() -> None:
        for start in range(0, 100, 10):
            await counts.count(messages[start : start + 10], after=start)

    await asyncio.gather(counter(), counter(), counter())
    assert await unread_of(counts, "alice") == Unread(100, 100)


async def test_many_messages_with_many_mentions_are_counted_at_once(counts: UnreadCounts) -> None:
    users = [f"u{number}" for number in range(100)]
    messages = [said(seq, "bob", *users) for seq in range(1, 31)]
    assert await counts.count(messages, after=0) == 30
    assert await unread_of(counts, "u99") == Unread(30, 30)


USERS = ["ann", "ben", "cat"]
CHANNELS = ["a", "b"]


@dataclass
class Member:
    """One user and channel in the model."""

    pointer: int = 0
    version: int = 0
    has_left: bool = False


@dataclass
class Model:
    """The log, how far it is counted, and who has read up to where."""

    log: list[CountedMessage] = field(default_factory=list)
    place: int = 0
    members: dict[tuple[str, str], Member] = field(default_factory=dict)

    def member(self, user: str, channel: str) -> Member:
        return self.members.setdefault((user, channel), Member())

    def position(self, user: str, channel: str, seq: int) -> ReadPosition:
        before = [each for each in self.log if each.channel_id == channel and each.seq <= seq and each.in_channel]
        return ReadPosition(seq, len(before), sum(each.sender_id == user for each in before))

    def expected(self, user: str, channel: str) -> Unread:
        pointer = self.member(user, channel).pointer
        new = [each for each in self.log if each.channel_id == channel and pointer < each.seq <= self.place]
        return Unread(
            sum(each.in_channel and each.sender_id != user for each in new), sum(user in each.mentions for each in new)
        )


class CountsMachine(RuleBasedStateMachine):
    """Does the same to a store and to the model, and compares what every user sees."""

    opener: Opener

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._store = self._runner.run(type(self).opener())
        self._model = Model()

    def teardown(self) -> None:
        self._runner.run(self._store.close())
        self._runner.close()

    @rule(
        channel=st.sampled_from(CHANNELS),
        sender=st.sampled_from(USERS),
        mentioned=st.sets(st.sampled_from(USERS)),
        in_channel=st.booleans(),
        gap=st.integers(1, 3),
    )
    def send(self, channel: str, sender: str, mentioned: set[str], *, in_channel: bool, gap: int) -> None:
        log = self._model.log
        seq = (log[-1].seq if log else 0) + gap
        mentions = tuple(sorted(mentioned - {sender}))
        log.append(CountedMessage(seq, channel, f"msg_{seq}", sender, mentions, in_channel, seq))

    @rule(again=st.integers(0, 4), number=st.integers(1, 6))
    def count(self, again: int, number: int) -> None:
        """Count the next messages, and some of those before them again."""
        log, place = self._model.log, self._model.place
        counted = sum(each.seq <= place for each in log)
        start = max(0, counted - again)
        chosen = log[start : counted + number]
        after = log[start - 1].seq if start else 0
        reached = self._runner.run(self._store.count(chosen, after=after))
        self._model.place = max(place, chosen[-1].seq if chosen else 0)
        assert reached == (self._model.place if place or chosen else after)

    @precondition(lambda self: self._model.log and 0 < self._model.place < self._model.log[-1].seq - 1)
    @rule()
    def count_with_a_gap(self) -> None:
        newest = self._model.log[-1]
        assert self._runner.run(self._store.count([newest], after=newest.seq - 1)) == self._model.place

    @rule(data=st.data(), user=st.sampled_from(USERS))
    def mark_read(self, data: st.DataObject, user: str) -> None:
        if not self._model.log:
            return
        message = data.draw(st.sampled_from(self._model.log))
        member = self._model.member(user, message.channel_id)
        position = self._model.position(user, message.channel_id, message.seq)
        moves = not member.has_left and message.seq > member.pointer
        assert self._runner.run(self._store.mark_read(user, message.channel_id, position)) == moves
        if moves:
            member.pointer = message.seq

    @rule(user=st.sampled_from(USERS), channel=st.sampled_from(CHANNELS), step=st.integers(-2, 3))
    def join(self, user: str, channel: str, step: int) -> None:
        member = self._model.member(user, channel)
        end = self._model.log[-1].seq if self._model.log else 0
        version, position = member.version + step, self._model.position(user, channel, end)
        assert self._runner.run(self._store.joined(user, channel, version, position)) == (step > 0)
        if step > 0:
            self._model.members[user, channel] = Member(max(member.pointer, end), version)

    @rule(user=st.sampled_from(USERS), channel=st.sampled_from(CHANNELS), step=st.integers(-2, 3))
    def leave(self, user: str, channel: str, step: int) -> None:
        member = self._model.member(user, channel)
        assert self._runner.run(self._store.left(user, channel, member.version + step)) == (step > 0)
        if step > 0:
            self._model.members[user, channel] = Member(0, member.version + step, has_left=True)

    @rule(user=st.sampled_from(USERS), channel=st.sampled_from(CHANNELS), wrong=st.integers(-3, 3))
    def correct(self, user: str, channel: str, wrong: int) -> None:
        """Wrong counts at a pointer are replaced by the right ones."""
        member = self._model.member(user, channel)
        right = self._model.position(user, channel, member.pointer)
        wanted = [
            each.seq
            for each in self._model.log
            if each.channel_id == channel and member.pointer < each.seq <= self._model.place and user in each.mentions
        ]
        for count in (right.count + wrong, right.count):
            corrected = self._store.correct(user, channel, replace(right, count=count), wanted)
            assert self._runner.run(corrected) == (not member.has_left)

    @invariant()
    def everyone_sees_what_the_model_says(self) -> None:
        for user in USERS:
            found = self._runner.run(self._store.unread(user, CHANNELS))
            states = self._runner.run(self._store.states(user, CHANNELS))
            for channel, state in zip(CHANNELS, states, strict=True):
                if self._model.member(user, channel).has_left:
                    assert (state.mentions, state.pointer.seq) == (0, 0)
                    continue
                expected = self._model.expected(user, channel)
                assert found.get(channel, Unread(0, 0)) == expected
                assert (state.unread, state.mentions) == expected
                assert state.pointer.seq == self._model.member(user, channel).pointer


@pytest.mark.parametrize("adapter", ["sqlite", "redis"])
def test_any_order_of_steps_gives_what_a_plain_model_gives(adapter: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("redis_url") if adapter == "redis" else ""

    class Machine(CountsMachine):
        @staticmethod
        async def opener() -> RedisUnread | SqliteUnread:
            return await _redis(url) if url else await SqliteUnread.open(None)

    profile = settings(
        max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    run_state_machine_as_test(Machine, settings=profile)
