"""Whether a reader of the log ever stalls: after idle requests, lost connections, restarts and lost consumers.

    python -m tests.chaos.stalls --idle-rounds 25

A round starts new readers, lets something befall them, publishes an event for each, and takes the time from the log's
answer to the event's arrival. A stall is one that takes longer than a second, or never ends. The readers are those of
the product, which stand on the continuous pull, and in the same round `fetch` of nats-py as the alternative. Idle means
that the requests of both kinds have just expired, and then an event comes 5 to 50 ms later.
"""

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import structlog

from fanout.errors import Unavailable
from fanout.streams import MESSAGES
from fanout.subjects import message
from services.adapters.nats import NatsConnection, NatsLog, api, continuous_pull
from tests.chaos.lossy_proxy import Losses, LossyProxy
from tests.chaos.readers import Fetch, TimedReader, partition_reader, tail, work_queue
from tests.support.nats import connected, open_log
from tests.support.reading import channel_in
from tests.support.servers import NatsServer, find_binary

STALL_S = 1.0
GIVE_UP_AFTER_S = 15.0
EXPIRES_S = 3.0
"""Of a request, unless told; one `fetch` waits as long."""
HEARTBEATS = 6
"""In the life of a request."""
SETTLE_S = 0.3
PAUSED_S = 1.0


@dataclass
class Bench:
    """A server, readers behind a proxy, and what is published past it."""

    server: NatsServer
    proxy: LossyProxy
    nc: NatsConnection
    log: NatsLog
    readers: Callable[[], list[TimedReader]]
    partitions: int
    expires_s: float
    chance: random.Random
    serial: int = 0

    async def publish(self, part: int) -> tuple[bytes, float]:
        """Have an event stored, however often it takes; its payload and when the log's answer came."""
        self.serial += 1
        name, subject = f"event-{self.serial}", message(channel_in(part, self.partitions))
        while True:
            try:
                await self.log.append(subject, name.encode(), msg_id=name)
                return name.encode(), time.monotonic()
            except Unavailable:
                await asyncio.sleep(0.02)

    async def a_moment(self) -> None:
        """5 to 50 ms."""
        await asyncio.sleep(self.chance.uniform(0.005, 0.05))


async def idle(bench: Bench) -> None:
    """All requests expire: for each event, its readers are waited for."""


async def restarted(bench: Bench) -> None:
    """The server crashes and is started again."""
    await asyncio.to_thread(bench.server.restart)


async def cut(bench: Bench) -> None:
    """The connections are lost with requests standing."""
    await bench.proxy.cut()


async def frozen(bench: Bench) -> None:
    """The server stands still until heartbeats are missing."""
    await asyncio.to_thread(bench.server.pause)
    await asyncio.sleep(3 * bench.expires_s / HEARTBEATS)
    bench.server.resume()


async def deleted(bench: Bench) -> None:
    """Somebody deletes every consumer: requests end with 409, new ones are answered by nobody."""
    for name in await api.consumer_names(bench.nc, MESSAGES):
        await api.delete_consumer(bench.nc, MESSAGES, name)


async def paused(bench: Bench) -> None:
    """Every consumer is paused, and goes on by itself."""
    until = (datetime.now(UTC) + timedelta(seconds=PAUSED_S)).isoformat()
    for name in await api.consumer_names(bench.nc, MESSAGES):
        await api.call(bench.nc, f"CONSUMER.PAUSE.{MESSAGES}.{name}", {"pause_until": until})
    await asyncio.sleep(PAUSED_S)


BLOWS: Mapping[str, Callable[[Bench], Awaitable[None]]] = {
    blow.__name__: blow for blow in (idle, cut, frozen, deleted, paused, restarted)
}


class Case(NamedTuple):
    """What befell whom."""

    blow: str
    reader: str


@dataclass
class Waits:
    """How long events took."""

    seconds: list[float] = field(default_factory=list)
    never: int = 0

    @property
    def stalls(self) -> int:
        return self.never + sum(wait > STALL_S for wait in self.seconds)

    def add(self, wait: float | None) -> None:
        if wait is None:
            self.never += 1
        else:
            self.seconds.append(max(0.0, wait))

    def quantile(self, share: float) -> float:
        ordered = sorted(self.seconds) or [float("nan")]
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


Report = defaultdict[Case, Waits]


async def one_round(bench: Bench, blow: str, report: Report) -> None:
    """Start every reader, let it befall them, and take the times."""
    readers = bench.readers()
    for part in (None, *range(bench.partitions)):  # those of one partition at the same time: their requests expire so
        await asyncio.gather(*(reader.start() for reader in readers if reader.part == part))
    await asyncio.sleep(SETTLE_S)
    await BLOWS[blow](bench)
    await asyncio.gather(*(_try(bench, blow, part, readers, report) for part in range(bench.partitions)))
    await asyncio.gather(*(reader.stop() for reader in readers))


async def _try(bench: Bench, blow: str, part: int, readers: list[TimedReader], report: Report) -> None:
    concerned = [reader for reader in readers if reader.part in {None, part}]
    if BLOWS[blow] is idle:
        await asyncio.sleep(max(reader.started_at for reader in concerned) + bench.expires_s - time.monotonic())
    await bench.a_moment()
    payload, accepted = await bench.publish(part)
    arrivals = await asyncio.gather(*(reader.arrivals.of(payload, GIVE_UP_AFTER_S) for reader in concerned))
    for reader, arrived in zip(concerned, arrivals, strict=True):
        report[Case(blow, reader.kind)].add(None if arrived is None else arrived - accepted)


@asynccontextmanager
async def set_up(server: NatsServer, partitions: int, expires_s: float, *, with_fetch: bool) -> AsyncIterator[Bench]:
    """A bench on a server that runs."""
    proxy, heartbeat = LossyProxy(server.port, Losses(0.0, random.Random(1))), expires_s / HEARTBEATS
    with patch.object(continuous_pull, "_EXPIRES_S", expires_s):
        async with proxy.listening() as port, connected(server.url) as nc:
            url = f"nats://127.0.0.1:{port}"
            log = await open_log(nc, partitions, heartbeat)
            async with connected(url) as behind:
                theirs = await open_log(behind, partitions, heartbeat)

                def readers() -> list[TimedReader]:
                    fetches = [Fetch(url, part, expires_s) for part in range(partitions) if with_fetch]
                    parts = [partition_reader(theirs, part) for part in range(partitions)]
                    return [*parts, tail(theirs), work_queue(theirs), *fetches]

                yield Bench(server, proxy, nc, log, readers, partitions, expires_s, random.Random(1))


async def try_all(
    server: NatsServer,
    *,
    partitions: int,
    idle_rounds: int,
    rounds: int,
    expires_s: float = EXPIRES_S,
    with_fetch: bool = True,
) -> Report:
    """Let everything befall the readers: idleness so many rounds, all else so many."""
    report: Report = defaultdict(Waits)
    async with set_up(server, partitions, expires_s, with_fetch=with_fetch) as bench:
        for blow in BLOWS:
            for _ in range(idle_rounds if blow == "idle" else rounds):
                await one_round(bench, blow, report)
    return report


def lines(report: Report) -> list[str]:
    """The report, a line for each case."""
    head = f"{'':10} {'':10} {'tries':>6} {'stalls':>7} {'never':>6} {'median':>9} {'p99':>9} {'longest':>9}"
    return [head, *(_line(case, waits) for case, waits in report.items())]


def _line(case: Case, waits: Waits) -> str:
    median, p99, longest = (f"{1000 * waits.quantile(share):,.1f} ms" for share in (0.5, 0.99, 1.0))
    tries = len(waits.seconds) + waits.never
    return (
        f"{case.blow:10} {case.reader:10} {tries:6} {waits.stalls:7} {waits.never:6} {median:>9} {p99:>9} {longest:>9}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.stalls", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--idle-rounds", type=int, default=25, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=4, help="of everything else (default: %(default)s)")
    parser.add_argument("--partitions", type=int, default=8, help="tries in a round (default: %(default)s)")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))  # outages are no news here
    with tempfile.TemporaryDirectory(prefix="fanout-stalls-") as folder:
        server = NatsServer(Path(folder), find_binary(NatsServer.program))
        server.start()
        try:
            report = asyncio.run(
                try_all(
                    server,
                    partitions=arguments.partitions,
                    idle_rounds=arguments.idle_rounds,
                    rounds=arguments.rounds,
                )
            )
        finally:
            server.close()
    print(*lines(report), sep="\n")
    return 1 if any(waits.stalls for case, waits in report.items() if case.reader != Fetch.kind) else 0


if __name__ == "__main__":
    sys.exit(main())
