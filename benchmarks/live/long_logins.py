"""Logins of users of very many channels: from the first frame to `auth.ok`, beside the reading of their channels alone.

A worker and an instance run on one loop. Nothing is between them and their clients but the embedded bus.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, cast

import msgspec

from benchmarks.live.instances import INSTANCE, FakeSocket, started_instance
from benchmarks.live.stalls import WORKER, Stalls, Watch, require, until
from fanout.errors import FanoutError
from fanout.ports.memberships import Memberships
from services.adapters.embedded.bus import EmbeddedBus
from services.adapters.embedded.log import EmbeddedLog
from services.adapters.embedded.presence import EmbeddedPresence
from services.adapters.mongo.memberships import MongoMemberships
from services.fan_out.worker import FanOutPorts, FanOutWorker, running_worker
from services.notification.instance import NotificationInstance
from services.runtime.tasks import Tasks

_LOOKED_AT: Final = 20
_ADMITTED_S: Final = 900.0
"""Within which users are admitted: the server of the benchmark reads 20,000 documents a second, and those of all."""

Lists = dict[str, list[str]]
"""The channels of each user, sorted."""


class Logins(msgspec.Struct, frozen=True):
    """Logins of some users at the same time, and the reading of their channels alone."""

    users: int
    bare: list[float]
    """Seconds of PyMongo alone, of each round."""
    new: list[float]
    """From the first frame to the last `auth.ok`: the worker reads the users' channels, and gives them."""
    known: list[float]
    """The worker knows the users' channels, and gives them."""
    stalls: Stalls
    """The stalls of the loop during these logins."""


class _Counting:
    """The store, which counts the lists that are read from it."""

    def __init__(self, store: MongoMemberships) -> None:
        self._store = store
        self.lists_read = 0

    async def packed_channels_of(self, user_id: str) -> bytes:
        self.lists_read += 1
        return await self._store.packed_channels_of(user_id)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


class _Client(FakeSocket):
    """Remembers when it was admitted."""

    def __init__(self, user_id: str) -> None:
        super().__init__(user_id)
        self.admitted = asyncio.Event()
        self.admitted_at = 0.0

    def write(self, frames: bytes) -> None:
        """See the port."""
        super().write(frames)
        if b'"auth.ok"' in frames:
            self.admitted_at = time.perf_counter()
            self.admitted.set()


class LoginBench:
    """A worker and an instance.

    Args:
        instance: admits the users.
        worker: routes to it.
        store: has the memberships, for both.
        lists: what the store has.
    """

    def __init__(self, instance: NotificationInstance, worker: FanOutWorker, store: _Counting, lists: Lists) -> None:
        self._instance = instance
        self._worker = worker
        self._store = store
        self._lists = lists

    async def measure(self, users: Sequence[str], bare: Callable[[str], Awaitable[list[str]]], rounds: int) -> Logins:
        """Read and log in, in turn; a `BenchError` if a reader gets something else, or a login has no effect."""
        watch = Watch()
        await self._log_in(users)  # it is not counted: its memory is new to the process, and the machine has to give it
        seen = Logins(len(users), [], [], [], watch.result())
        for _ in range(rounds):
            seen.bare.append(await self._read(users, bare))
            for user in users:
                self._worker.presence_applier.forget(user)
            async with watch:
                seen.new.append(await self._log_in(users, lists_read=len(users)))
            async with watch:
                seen.known.append(await self._log_in(users, lists_read=0))
        return msgspec.structs.replace(seen, stalls=watch.result())

    async def _read(self, users: Sequence[str], bare: Callable[[str], Awaitable[list[str]]]) -> float:
        began = time.perf_counter()
        found = await asyncio.gather(*map(bare, users))
        taken = time.perf_counter() - began
        require(found == [self._lists[user] for user in users], "a reader did not get the channels of the user, sorted")
        return taken

    async def _log_in(self, users: Sequence[str], lists_read: int | None = None) -> float:
        """Let users come at the same time, and go when all is settled; the seconds until the last was admitted.

        Args:
            users: who come.
            lists_read: how many lists have to be read from the store for that; None for any number.
        """
        clients, before = [_Client(user) for user in users], self._store.lists_read
        began = time.perf_counter()
        serving = [asyncio.create_task(self._instance.serve(client)) for client in clients]
        await until(lambda: all(client.admitted.is_set() for client in clients), "the users are admitted", _ADMITTED_S)
        for user in users:
            some = self._lists[user][:: max(1, len(self._lists[user]) // _LOOKED_AT)]
            reads = (self._instance.registry.is_member(user, channel) for channel in some)
            require(all(reads), "a user does not read all channels")
        await self._confirmed()
        seen = self._store.lists_read - before
        require(lists_read in {None, seen}, f"the store was read {seen} times")
        for client in clients:
            await client.close()
        await asyncio.gather(*serving)
        await until(lambda: not self._worker.users_on(INSTANCE), "the worker has removed the users")
        return max(client.admitted_at for client in clients) - began

    async def _confirmed(self) -> None:
        """Wait for a worker that confirms late: what it still does would be counted as the next round's."""
        while True:
            try:
                await self._instance.check_routing()
            except FanoutError:
                await asyncio.sleep(0.02)
            else:
                return


@asynccontextmanager
async def opened_logins(store: MongoMemberships, lists: Lists) -> AsyncIterator[LoginBench]:
    """Run a worker and an instance over a store that has these lists."""
    failures: list[BaseException] = []
    memberships = _Counting(store)
    port = cast("Memberships", memberships)
    async with AsyncExitStack() as stack:
        log, bus, presence = await EmbeddedLog.open(None, partitions=4), EmbeddedBus(), EmbeddedPresence()
        for each in (log, bus):
            stack.push_async_callback(each.close)
        ports = FanOutPorts(log, bus, presence, port)
        worker = await stack.enter_async_context(running_worker(WORKER, ports, failures.append))
        await until(worker.ready.is_set, "the worker is ready")
        tasks = await stack.enter_async_context(Tasks(failures.append))
        instance = await started_instance(log, bus, presence, port, tasks, capacity=10)
        yield LoginBench(instance, worker, memberships, lists)
    require(not failures, f"a service failed: {failures}")
