"""The routing table in plain Python, as an engineer writes it who has dicts and wants them fast."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

Row = dict[str, str | set[str]]
"""Instance -> its one user of the channel, or its users: most are one, and a set of one takes 216 bytes."""

validate: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
"""The cheapest way in Python to see that an event is one JSON object."""


class PythonTable:
    """Channel -> instance -> users, user -> channels, user -> instances. A list of channels names each once.

    What is known of a user stays until `forget`, as in a membership cache without bounds, and while the user is online.
    """

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._lists: dict[str, list[str]] = {}
        self._places: dict[str, set[str]] = {}
        self._forgotten: set[str] = set()
        self._pending: defaultdict[str, list[bytes]] = defaultdict(list)

    def user_online(self, user: str, instance: str, channels: Iterable[str] | None = None) -> int:
        """Place a user; given channels replace what was known, else it is a KeyError. How many pairs are new."""
        places = self._places.get(user, set())
        new = 0 if channels is None else self._learn(user, places, list(channels))
        if instance not in places:
            new += self._place(user, instance, self._lists[user])
            self._places.setdefault(user, places).add(instance)
        return new

    def user_offline(self, user: str, instance: str) -> int:
        """Take a user off an instance. How many (channel, instance) pairs are gone."""
        places = self._places.get(user, set())
        if instance not in places:
            return 0
        places.remove(instance)
        known = self._lists[user]
        if not places:
            del self._places[user]
            if user in self._forgotten:
                self.forget(user)
        return self._displace(user, instance, known)

    def drop_instance(self, instance: str) -> int:
        """Evict an instance. The number of users evicted."""
        gone = [user for user, places in self._places.items() if instance in places]
        for user in gone:
            self.user_offline(user, instance)
        self._pending.pop(instance, None)
        return len(gone)

    def join(self, user: str, channel: str) -> bool:
        """A user became a member. Whether the user is online."""
        known = self._lists.get(user)
        if known is not None and channel not in known:
            known.append(channel)
            for instance in self._places.get(user, ()):
                self._place(user, instance, [channel])
        return user in self._places

    def leave(self, user: str, channel: str) -> bool:
        """A user is a member no more. Whether the user is online."""
        known = self._lists.get(user)
        if known is not None and channel in known:
            known.remove(channel)
            for instance in self._places.get(user, ()):
                self._displace(user, instance, [channel])
        return user in self._places

    def forget(self, user: str) -> None:
        """Drop the user's list; of a user who is online, when that ends."""
        if user in self._places:
            self._forgotten.add(user)
        else:
            self._forgotten.discard(user)
            self._lists.pop(user, None)

    def instances(self, channel: str) -> frozenset[str]:
        """Where the channel's readers are."""
        return frozenset(self._rows.get(channel, ()))

    def widths(self, channels: Iterable[str]) -> list[int]:
        """How many instances each channel has."""
        find, none = self._rows.get, ()
        return [len(find(channel, none)) for channel in channels]

    def members(self, channel: str) -> dict[str, list[str]]:
        """The channel's online members, sorted, by instance."""
        row = self._rows.get(channel, {})
        return {instance: [held] if type(held) is str else sorted(held) for instance, held in row.items()}

    def channels(self, user: str) -> frozenset[str]:
        """The channels of an online user."""
        return frozenset(self._lists[user]) if user in self._places else frozenset()

    def route_many(self, events: Sequence[tuple[str, bytes]]) -> int:
        """Validate each event (or raise a ValueError), and append it to each instance's batch. How many targets."""
        find, pending = self._rows.get, self._pending
        targets = 0
        for channel, event in events:
            validate(event)
            row = find(channel)
            if row:
                framed = len(event).to_bytes(4, "little") + event
                targets += len(row)
                for instance in row:
                    pending[instance].append(framed)
        return targets

    def drain(self) -> list[tuple[str, bytes]]:
        """The batches: events, each after its length in four bytes."""
        batches = [(instance, b"".join(events)) for instance, events in self._pending.items()]
        self._pending.clear()
        return batches

    def _learn(self, user: str, places: set[str], channels: list[str]) -> int:
        self._forgotten.discard(user)
        before, self._lists[user] = self._lists.get(user), channels
        if not places:
            return 0
        old, wanted = set(before or ()), set(channels)
        gone, came = old - wanted, wanted - old
        for instance in places:
            self._displace(user, instance, gone)
        return sum(self._place(user, instance, came) for instance in places)

    def _place(self, user: str, instance: str, channels: Iterable[str]) -> int:
        rows, new = self._rows, 0
        for channel in channels:
            row = rows.get(channel)
            if row is None:
                rows[channel] = {instance: user}
                new += 1
            elif instance not in row:
                row[instance] = user
                new += 1
            else:
                held = row[instance]
                if isinstance(held, str):
                    row[instance] = {held, user}
                else:
                    held.add(user)
        return new

    def _displace(self, user: str, instance: str, channels: Iterable[str]) -> int:
        rows, gone = self._rows, 0
        for channel in channels:
            row = rows[channel]
            held = row[instance]
            if type(held) is set and len(held) > 1:
                held.remove(user)
                continue
            gone += 1
            if len(row) > 1:
                del row[instance]
            else:
                del rows[channel]
        return gone
