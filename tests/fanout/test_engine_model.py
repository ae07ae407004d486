"""The engine against a plain model, over the whole API: sets of sets, and lists of what was sent."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fanout import Engine, MembershipUnknown, decode_batch, presence_digest
from fanout.packed_ids import pack

USERS = ["ann", "ben", "cat", "dan"]
CHANNELS = ["c1", "c2", "c3", "a-channel-whose-name-is-a-good-deal-longer"]
INSTANCES = ["i1", "i2", "i3"]
LANES = [1, 2]
CACHE_USERS = 2
SETTINGS = (0.0, 1, CACHE_USERS, 3600.0)

users = st.sampled_from(USERS)
channels = st.sampled_from(CHANNELS)
instances = st.sampled_from(INSTANCES)
lanes = st.sampled_from(LANES)
steps = st.integers(1, 5)

Sent = tuple[int, int, int, int, str | None, str | None, bytes]
"""A record: lane, epoch, prev, seq, channel, user, event."""


@dataclass
class Lane:
    epoch: int
    position: int
    told: dict[str, int] = field(default_factory=dict)


class EngineMachine(RuleBasedStateMachine):
    """Does the same to both, compares every answer, and then everything that can be asked."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine(*SETTINGS)
        self.lists: dict[str, set[str]] = {}
        self.places: dict[str, set[str]] = {}
        self.cache: list[str] = []
        self.lanes: dict[int, Lane] = {}
        self.sent: dict[str, list[Sent]] = defaultdict(list)
        self.events = 0

    # Presence and memberships.

    @rule(user=users, instance=instances, given=st.lists(channels), packed=st.booleans())
    def comes_online(self, user: str, instance: str, given: list[str], packed: bool) -> None:  # noqa: FBT001 - drawn
        before = self._entries()
        self.lists[user] = set(given)
        self.places.setdefault(user, set()).add(instance)
        self._use(user)
        listed = pack(given) if packed else given
        assert self.engine.user_online(user, instance, listed) == len(self._entries() - before)

    @rule(user=users, instance=instances)
    def comes_online_as_known(self, user: str, instance: str) -> None:
        if user not in self.lists:
            with pytest.raises(MembershipUnknown):
                self.engine.user_online(user, instance)
            return
        before = self._entries()
        self.places.setdefault(user, set()).add(instance)
        if user in self.cache:
            self._use(user)
        assert self.engine.user_online(user, instance) == len(self._entries() - before)

    @rule(user=users, instance=instances)
    def goes_offline(self, user: str, instance: str) -> None:
        before = self._entries()
        self._displace(user, instance)
        assert self.engine.user_offline(user, instance) == len(before - self._entries())

    @rule(instance=instances)
    def dies(self, instance: str) -> None:
        gone = [user for user, places in self.places.items() if instance in places]
        for user in gone:
            self._displace(user, instance)
        self.sent.pop(instance, None)
        for lane in self.lanes.values():
            lane.told.pop(instance, None)
        assert self.engine.drop_instance(instance) == len(gone)

    @rule(user=users, channel=channels)
    def joins(self, user: str, channel: str) -> None:
        if user in self.lists:
            self.lists[user].add(channel)
        assert self.engine.join(user, channel) == (user in self.places)

    @rule(user=users, channel=channels)
    def leaves(self, user: str, channel: str) -> None:
        if user in self.lists:
            self.lists[user].discard(channel)
        assert self.engine.leave(user, channel) == (user in self.places)

    @rule(user=users)
    def is_forgotten(self, user: str) -> None:
        self.cache = [other for other in self.cache if other != user]
        self._tidy()
        self.engine.forget(user)

    @rule(note=st.binary(max_size=20))
    def is_restored(self, note: bytes) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder, "table")
            assert self.engine.snapshot(path, note) == path.stat().st_size
            self.engine = Engine.restore(path, *SETTINGS)
        assert self.engine.snapshot_note == note
        self.lanes.clear()
        self.sent.clear()

    # Events.

    @rule(channel=channels, exclude=st.none() | instances, actor=st.none() | users)
    def routes(self, channel: str, exclude: str | None, actor: str | None) -> None:
        event = self._event()
        targets = self._instances(channel) - {exclude}
        self._send(targets, (0, 0, 0, 0, channel, actor, event))
        assert self.engine.route(channel, event, exclude, actor) == len(targets)

    @rule(chosen=st.lists(channels))
    def routes_many(self, chosen: list[str]) -> None:
        events = [(channel, self._event()) for channel in chosen]
        for channel, event in events:
            self._send(self._instances(channel), (0, 0, 0, 0, channel, None, event))
        assert self.engine.route_many(events) == sum(len(self._instances(channel)) for channel in chosen)

    @rule(user=users)
    def routes_to_a_user(self, user: str) -> None:
        event = self._event()
        self._send(self.places.get(user, set()), (0, 0, 0, 0, None, user, event))
        assert self.engine.route_user(user, event) == len(self.places.get(user, ()))

    @rule(number=lanes, epoch=st.integers(0, 2**63), position=st.integers(0, 1_000))
    def opens_a_lane(self, number: int, epoch: int, position: int) -> None:
        self.lanes[number] = Lane(epoch, position)
        self.engine.open_lane(number, epoch, position)

    @rule(number=lanes)
    def closes_a_lane(self, number: int) -> None:
        self.lanes.pop(number, None)
        self.engine.close_lane(number)

    @precondition(lambda self: self.lanes)
    @rule(data=st.data(), step=steps, channel=channels, also=st.none() | users)
    def routes_a_stored_event(self, data: st.DataObject, step: int, channel: str, also: str | None) -> None:
        number = data.draw(st.sampled_from(sorted(self.lanes)))
        event, seq = self._event(), self.lanes[number].position + step
        targets = self._instances(channel) | (self.places.get(also, set()) if also else set())
        self._send_in_lane(number, seq, targets, (channel, also, event))
        assert self.engine.route_stored("member", number, 0, [(seq, channel, event, also)]) == []

    @precondition(lambda self: self.lanes)
    @rule(data=st.data(), chosen=st.lists(st.tuples(steps, channels, st.booleans()), max_size=5))
    def routes_messages(self, data: st.DataObject, chosen: list[tuple[int, str, bool]]) -> None:
        number = data.draw(st.sampled_from(sorted(self.lanes)))
        events, refused = [], []
        for step, channel, sound in chosen:
            seq = self.lanes[number].position + step
            message = self._message(channel)
            events.append((seq, channel, self._stored(channel, message) if sound else b"{}"))
            wrapped = b'{"type":"message.new","seq":%d,"part":9,"channel_id":"%s","message":%s}'
            targets = self._instances(channel) if sound else set()
            self._send_in_lane(number, seq, targets, (channel, None, wrapped % (seq, channel.encode(), message)))
            refused += [] if sound else [seq]
        assert [seq for seq, _ in self.engine.route_stored("message.new", number, 9, events)] == refused

    @precondition(lambda self: self.lanes)
    @rule(data=st.data(), step=st.integers(0, 5))
    def advances(self, data: st.DataObject, step: int) -> None:
        number = data.draw(st.sampled_from(sorted(self.lanes)))
        self.lanes[number].position += step
        self.engine.advance(number, self.lanes[number].position)

    @rule()
    def marks(self) -> None:
        everywhere = set().union(*self.places.values())
        for number, lane in sorted(self.lanes.items()):
            for target in everywhere:
                prev = lane.told.setdefault(target, lane.position)
                self.sent[target].append((number, lane.epoch, prev, lane.position, None, None, b""))
        assert self.engine.mark() == (len(everywhere) if self.lanes else 0)

    @rule()
    def drains(self) -> None:
        found: dict[str, list[Sent]] = defaultdict(list)
        for instance, payload in self.engine.drain(force=True):
            found[instance] += [
                (record.lane, record.epoch, record.prev, record.seq, record.channel, record.user, record.event)
                for record in decode_batch(payload)
            ]
        assert found == {instance: sent for instance, sent in self.sent.items() if sent}
        self.sent.clear()

    # What holds after every step.

    @invariant()
    def the_table_is_the_same(self) -> None:
        for channel in CHANNELS:
            members = {
                instance: [user for user in USERS if channel in self._list(user) and instance in self.places[user]]
                for instance in self._instances(channel)
            }
            assert self.engine.members(channel) == members
            assert self.engine.instances(channel) == members.keys()
        assert self.engine.widths(CHANNELS) == [len(self._instances(channel)) for channel in CHANNELS]
        for user in USERS:
            assert self.engine.channels(user) == self._list(user)
            assert set(self.engine.packed_channels(user).decode().split()) == self._list(user)
            assert self.engine.membership_count(user) == len(self.lists.get(user, set()))
            assert self.engine.locations(user) == self.places.get(user, set())
            assert all(self.engine.is_member(user, channel) == (channel in self._list(user)) for channel in CHANNELS)

    @invariant()
    def the_rosters_are_the_same(self) -> None:
        assert self.engine.occupied_instances() == set().union(*self.places.values())
        for instance in INSTANCES:
            roster = sorted(user for user, places in self.places.items() if instance in places)
            assert self.engine.users(instance) == roster
            assert self.engine.digest(instance) == presence_digest(roster)

    @invariant()
    def the_counts_are_the_same(self) -> None:
        stats = self.engine.stats()
        assert stats["users"] == len(self.places)
        assert stats["entries"] == len(self._entries())
        assert stats["channels"] == len({channel for channel, _ in self._entries()})
        assert stats["instances"] == len(set().union(*self.places.values()))
        assert stats["cached_users"] == len(self.cache)
        assert stats["pending_events"] == sum(map(len, self.sent.values()))
        assert (self.engine.next_due() is None) == (stats["pending_bytes"] == 0) == (stats["pending_events"] == 0)

    # The model's own.

    def _list(self, user: str) -> set[str]:
        return self.lists[user] if user in self.places else set()

    def _entries(self) -> set[tuple[str, str]]:
        return {
            (channel, instance)
            for user, places in self.places.items()
            for channel in self.lists[user]
            for instance in places
        }

    def _instances(self, channel: str) -> set[str]:
        return {instance for other, instance in self._entries() if other == channel}

    def _use(self, user: str) -> None:
        self.cache = [*(other for other in self.cache if other != user), user][-CACHE_USERS:]
        self._tidy()

    def _displace(self, user: str, instance: str) -> None:
        self.places.get(user, set()).discard(instance)
        self.places = {user: places for user, places in self.places.items() if places}
        self._tidy()

    def _tidy(self) -> None:
        self.lists = {user: held for user, held in self.lists.items() if user in self.places or user in self.cache}

    def _event(self) -> bytes:
        self.events += 1
        return b'{"n":%d}' % self.events

    def _message(self, channel: str) -> bytes:
        self.events += 1
        identity = f"msg_{self.events:026}"
        fields = {"message_id": identity, "channel_id": channel, "sender_id": "ann", "text": "hé", "sent_at": "now"}
        return json.dumps(fields).encode()

    @staticmethod
    def _stored(channel: str, message: bytes) -> bytes:
        envelope = b'{"event_id":"evt_1","type":"message.new","channel_id":"%s","message":%s}'
        return envelope % (channel.encode(), message)

    def _send(self, targets: set[str] | set[str | None], sent: Sent) -> None:
        for target in targets:
            assert target is not None
            self.sent[target].append(sent)

    def _send_in_lane(self, number: int, seq: int, targets: set[str], rest: tuple[str, str | None, bytes]) -> None:
        lane = self.lanes[number]
        for target in targets:
            prev = lane.told.get(target, lane.position)
            lane.told[target] = seq
            self.sent[target].append((number, lane.epoch, prev, seq, *rest))
        lane.position = seq


EngineMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestEngineModel = EngineMachine.TestCase
