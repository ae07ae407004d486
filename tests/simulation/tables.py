"""The tables of the processes of a run: how they change, and since when they differ from what is so."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from services.fan_out.worker import FanOutWorker
from tests.simulation.hosts import HOST, Host
from tests.simulation.timeline import NEVER
from tests.simulation.world import World

SOON_S: Final = 1.0
"""Seconds for which a table may differ: what has changed is on its way."""


@dataclass
class Wrong:
    """A difference of a table from what is so."""

    of: list[str]
    """The users and channels that it is about."""
    what: str
    since: float
    until: float = NEVER


class Tables:
    """Looks at the tables of the workers and instances, and tells what has changed since the last look.

    Args:
        world: of the run.
        add: takes an entry.

    Attributes:
        wrong: each difference that lasted longer than `SOON_S`, the first one first.
    """

    def __init__(self, world: World, add: Callable[..., None]) -> None:
        self.wrong: list[Wrong] = []
        self._world = world
        self._add = add
        self._workers: dict[str, tuple[Host, FanOutWorker]] = {}
        self._seen: dict[str, dict[tuple[str, ...], Any]] = {}
        """By worker: what its table had at the last look."""
        self._members: dict[str, set[str]] = {}
        """By user: the channels of which the membership store has the user as a member."""
        self._open: dict[str, Wrong] = {}

    def add(self, worker: FanOutWorker) -> None:
        """A worker has begun, with an empty table or with one that it has restored."""
        host = HOST.get()
        self._workers[host.name] = host, worker
        self._seen[host.name] = {}

    def set_member(self, user: str, channel: str, *, is_member: bool) -> bool:
        """The membership store has a change. Returns whether it changes who is a member."""
        channels = self._members.setdefault(user, set())
        if (channel in channels) == is_member:
            return False
        (channels.add if is_member else channels.discard)(channel)
        return True

    def look(self) -> None:
        """Tell what has changed."""
        for name, (host, worker) in list(self._workers.items()):
            if host.dead:
                del self._workers[name]
            else:
                self._compare(name, worker)
        self._judge()

    def close(self) -> None:
        """The run has ended: keep what is wrong now."""
        self._judge()
        self.wrong += self._open.values()
        self.wrong.sort(key=lambda wrong: wrong.since)

    def _compare(self, name: str, worker: FanOutWorker) -> None:
        now, before = dict(self._table_of(worker)), self._seen[name]
        self._seen[name] = now
        for key in [*now, *(key for key in before if key not in now)]:
            if now.get(key) != before.get(key):
                self._tell(name, key, now, is_new=key not in before)

    def _tell(self, name: str, key: tuple[str, ...], now: dict[tuple[str, ...], Any], *, is_new: bool) -> None:
        match key:
            case "located", user, instance:
                about = {"user": user, "instance": instance, "channels": now.get(("channels", user), [])}
                self._add("located" if key in now else "removed", [user], process=name, **about)
            case "channels", user if key in now and not is_new:
                self._add("channels", [user], process=name, user=user, channels=now[key])
            case "suspended", instance if key in now:
                self._add("suspends" if now[key] else "resumes", process=name, instance=instance)
            case "partition", part:
                self._add("begins to read" if key in now else "ends reading", process=name, part=part)

    def _table_of(self, worker: FanOutWorker) -> Iterator[tuple[tuple[str, ...], Any]]:
        engine = worker._engine
        instances = sorted({*engine.occupied_instances(), *worker.reconciler._instances})
        for instance in instances:
            yield ("suspended", instance), worker.reconciler.is_suspended(instance)
        located = [(user, instance) for instance in instances for user in worker.users_on(instance)]
        for user in sorted({user for user, _ in located}):
            yield ("channels", user), sorted(engine.channels(user))
        for user, instance in located:
            yield ("located", user, instance), True
        for part in worker.partitions.claimed():
            yield ("partition", str(part)), True

    def _judge(self) -> None:
        """Note what has begun to differ, and what differs no more."""
        at = self._world.loop.virtual.now
        found = dict(self._differences())
        for what, of in found.items():
            if what not in self._open:
                self._open[what] = Wrong(of, what, at)
        for what in [what for what in self._open if what not in found]:
            wrong = self._open.pop(what)
            wrong.until = at
            if at - wrong.since > SOON_S:
                self.wrong.append(wrong)

    def _differences(self) -> Iterator[tuple[str, list[str]]]:
        there = {}
        for process in self._world.of_kind("instance"):
            if process.instance is not None:
                registry = process.instance.registry
                there[process.name] = set(registry.users())
                for user in sorted(there[process.name]):
                    members = self._members.get(user, set())
                    has = {channel for channel in self._every_channel() if registry.is_member(user, channel)}
                    yield from _differs(process.name, user, has, members)
        for name, (_, worker) in self._workers.items():
            yield from self._worker_differs(name, there, is_complete=worker.ready.is_set())
        yield from self._unread()

    def _worker_differs(
        self, name: str, there: dict[str, set[str]], *, is_complete: bool
    ) -> Iterator[tuple[str, list[str]]]:
        seen = self._seen[name]
        located = {key[1:] for key in seen if key[0] == "located"}
        for instance, users in there.items():
            for user in sorted(users):
                if is_complete and (user, instance) not in located:
                    yield f"{name} did not have {user} on {instance}, where {user} was connected", [user]
        for user, instance in sorted(located):
            if user not in there.get(instance, set()):
                yield f"{name} had {user} on {instance}, where {user} was not connected", [user]
        for key, channels in seen.items():
            if key[0] == "channels":
                yield from _differs(name, key[1], set(channels), self._members.get(key[1], set()))

    def _unread(self) -> Iterator[tuple[str, list[str]]]:
        for part in range(self._world.plan.shape.partitions):
            readers = [name for name in self._workers if ("partition", str(part)) in self._seen[name]]
            if not readers:
                yield f"no worker read partition {part}", []
            elif len(readers) > 1:
                yield f"{' and '.join(sorted(readers))} each took partition {part} for their own", []

    def _every_channel(self) -> list[str]:
        return sorted({channel for channels in self._members.values() for channel in channels})


def _differs(name: str, user: str, has: set[str], members: set[str]) -> Iterator[tuple[str, list[str]]]:
    for channel in sorted(has - members):
        yield f"{name} had {user} in {channel}, of which {user} was no member", [user, channel]
    for channel in sorted(members - has):
        yield f"{name} did not have {user} in {channel}, of which {user} was a member", [user, channel]
