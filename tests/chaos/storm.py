"""Publishes while workers die and come and the NATS server restarts, and checks what every client received.

    python -m tests.chaos.storm --messages 1000000 --channels 10000 --workers 3 --instances 3 --clients 300

It starts everything: the servers, `fanout serve fanout` and `fanout serve notification` as processes, and clients that
connect again and resume when their instance is killed. In the end it waits until all have received what they should
have, and runs `tests.chaos.check` on the journals. With `--drop`, messages from the workers to the instances are lost
on the way, at random. The exit code is 0 when the check is clean, no client missed anything or ended, and no process
ended by itself.
"""

import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.faults import FaultInjector, Struck
from tests.chaos.options import read
from tests.chaos.programs import ROOT
from tests.chaos.publisher import Publisher, publishing
from tests.chaos.scenario import Scenario, blocks, counted
from tests.chaos.stage import Stage, set_up

LARGEST_BLOCK = 200
BLOCKS_PER_S = 50
PROGRESS_EVERY_S = 5.0
LOOK_EVERY_S = 0.05
PATIENCE_S = 90.0
"""How long nothing may come before what is missing is taken for lost."""
INTERRUPTED = 130
"""The exit code that shells know."""
NOTHING_MORE_S = 2.0
"""What should not come has so long to come."""


@dataclass
class Outcome:
    """What became of a storm."""

    accepted: int = 0
    repeated: int = 0
    expected: int = 0
    received: int = 0
    lossy: bool = False
    """Whether messages to instances may be lost on the way."""
    dropped: int = 0
    gaps_repaired: int = 0
    stale_dropped: int = 0
    struck: Struck = field(default_factory=Struck)
    reconnects: int = 0
    missed: dict[str, list[str]] = field(default_factory=dict)
    """The clients that were told that they missed something, and what."""
    closed: dict[str, str] = field(default_factory=dict)
    """The clients that ended, and why."""
    ended: list[str] = field(default_factory=list)
    """Processes that ended though nobody killed them."""
    seconds: float = 0.0
    clean: bool = False
    """The checker's word."""
    findings: str = ""
    """What the checker said."""

    @property
    def good(self) -> bool:
        return self.clean and not self.closed and not self.missed and not self.ended

    def summary(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        struck, rate = self.struck, self.accepted / max(self.seconds, 0.001)
        yield f"{self.accepted:,} messages accepted"
        if self.repeated:
            yield (
                f"{counted(self.repeated, 'time')} a message was published again by the publisher, which had no "
                "answer; the log took each once"
            )
        yield counted(self.received, "delivery", "deliveries")
        yield (
            f"{counted(struck.kills, 'worker')} killed, {struck.adds:,} added, nats-server restarted "
            f"{counted(struck.restarts, 'time')}"
        )
        yield f"{counted(struck.instance_kills, 'instance')} killed, {counted(self.reconnects, 'connection')} lost"
        if self.lossy:
            yield f"{counted(self.dropped, 'message')} to instances lost on the way"
        yield f"{counted(self.gaps_repaired, 'gap')} repaired by instances"
        yield f"{counted(self.stale_dropped, 'event')} came to instances again, and were dropped there"
        yield from (f"closed: {name}: {why}" for name, why in self.closed.items())
        yield from (f"missed: {name}: {'; '.join(what)}" for name, what in self.missed.items())
        yield from (f"ended by itself: {name}" for name in self.ended)
        yield f"{self.seconds:.0f} s, {rate:,.0f} messages/s"
        yield "GOOD" if self.good else "NOT GOOD"


class Storm:
    """One run over a stage."""

    def __init__(self, scenario: Scenario, stage: Stage, publisher: Publisher, say: Callable[[str], None]) -> None:
        self.outcome = Outcome(lossy=scenario.drop > 0)
        self._scenario = scenario
        self._stage = stage
        self._publisher = publisher
        self._say = say
        self._faults = FaultInjector(scenario, stage, lambda: self.outcome.accepted, say)

    async def rage(self) -> None:
        """Publish everything under blows, and wait until the clients have it."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            endless = [group.create_task(work) for work in (self._faults.change_workers(), self._tell_progress())]
            spread = [group.create_task(work) for work in (self._faults.restart_nats(), self._faults.kill_instances())]
            whole = await self._publish()
            if whole:
                await asyncio.gather(*spread)
                whole = await self._outstanding_falls_to(0)
            for task in (*endless, *spread):
                task.cancel()
        self.outcome.seconds = time.monotonic() - began
        self._say("all has come" if whole else f"nothing came for {PATIENCE_S:.0f} s")
        await asyncio.sleep(NOTHING_MORE_S)
        await self._count()

    async def _publish(self) -> bool:
        """Publish everything; False when the clients get nothing any more."""
        began = time.monotonic()
        size = max(1, min(LARGEST_BLOCK, int(self._scenario.rate / BLOCKS_PER_S)))
        for block in blocks(self._scenario, self._stage.layout, size):
            due = began + self.outcome.accepted / self._scenario.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if not await self._outstanding_falls_to(self._scenario.ahead):
                return False
            await self._publisher.have_accepted(block)
            self.outcome.accepted += len(block)
            self.outcome.expected += sum(self._stage.layout.readers[event.channel] for event in block)
        return True

    async def _outstanding_falls_to(self, limit: int) -> bool:
        """Wait until no more receipts are outstanding; False when nothing comes for too long."""
        best, since = 0, time.monotonic()
        while self.outcome.expected - (received := self._stage.received) > limit:
            if received > best:
                best, since = received, time.monotonic()
            if time.monotonic() - since > PATIENCE_S:
                return False
            await asyncio.sleep(LOOK_EVERY_S)
        return True

    async def _tell_progress(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_EVERY_S)
            outcome, stage = self.outcome, self._stage
            lost = f"{stage.dropped:,} lost on the way, " if outcome.lossy else ""
            self._say(
                f"accepted {outcome.accepted:,}, received {stage.received:,} of {outcome.expected:,}, "
                f"{lost}{counted(len(stage.workers()), 'worker')}"
            )

    async def _count(self) -> None:
        outcome, stage = self.outcome, self._stage
        outcome.repeated, outcome.received, outcome.dropped = self._publisher.repeated, stage.received, stage.dropped
        outcome.struck, outcome.closed, outcome.missed = self._faults.struck, stage.closed, stage.missed
        outcome.reconnects = stage.reconnects
        outcome.ended = stage.ended()
        outcome.gaps_repaired = await stage.instances_count("fanout_gaps_repaired_total")
        outcome.stale_dropped = await stage.instances_count("fanout_stale_events_dropped_total")


async def run_storm(scenario: Scenario, folder: Path, say: Callable[[str], None]) -> Outcome:
    """Set up, rage, take down, check.

    Args:
        scenario: what happens.
        folder: for journals, logs and the servers' storage; an empty one.
        say: is told how it goes.
    """
    async with set_up(scenario, folder, say) as stage, publishing(stage.nats.port, stage.accepted) as publisher:
        storm = Storm(scenario, stage, publisher, say)
        await storm.rage()
    outcome = storm.outcome
    say("checks the journals")
    outcome.clean, outcome.findings = await _check(stage)
    return outcome


async def _check(stage: Stage) -> tuple[bool, str]:
    journals = [str(path) for path in sorted(stage.journals.iterdir())]
    checking = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.chaos.check", str(stage.accepted), *journals),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    findings, _ = await checking.communicate()
    return checking.returncode == 0, findings.decode()


class _Interruption:
    """Whether somebody wants the storm to end, by Ctrl-C or SIGTERM: then it takes everything down, and goes."""

    def __init__(self) -> None:
        self.came = False

    async def run(self, scenario: Scenario, folder: Path) -> Outcome:
        """Run a storm that can be interrupted."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt, task)
        return await run_storm(scenario, folder, _printer())

    def _interrupt(self, task: "asyncio.Task[Outcome]") -> None:
        if not self.came:  # the second must not disturb what the first has begun
            self.came = True
            task.cancel()


def _printer() -> Callable[[str], None]:
    began = time.monotonic()
    return lambda text: print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    scenario, kept = read(arguments, __doc__)
    folder = kept or Path(tempfile.mkdtemp(prefix="fanout-storm-"))
    interruption, good = _Interruption(), False
    try:
        outcome = asyncio.run(interruption.run(scenario, folder))
        good = outcome.good
        print(outcome.findings + outcome.summary())
    except BaseException:  # services that the same Ctrl-C reached fail in ways of their own
        if not interruption.came:
            raise
        print("interrupted", file=sys.stderr)
    finally:
        if kept is None and (good or interruption.came):
            shutil.rmtree(folder)
            if interruption.came:
                print("journals and logs are removed; --folder would keep them")
        else:
            print(f"journals and logs are in {folder}")
    return INTERRUPTED if interruption.came else int(not good)


if __name__ == "__main__":
    sys.exit(main())
