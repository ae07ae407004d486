"""The simulation from the command line: `python -m tests.simulation --seeds 10000`."""

import argparse
import hashlib
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from tests.simulation.drawing import drawn
from tests.simulation.plan import Plan
from tests.simulation.planted import PLANTED, planted
from tests.simulation.run import Outcome, simulate
from tests.simulation.shrinking import shrink
from tests.simulation.story import story

KEPT_IN: Final = Path("build/simulation")
_LINE_EVERY_S: Final = 20.0
_SEEDS_OF_A_PROCESS: Final = 400
"""Seeds that one process runs before another takes its place."""


class Ran(NamedTuple):
    """One seed that was run."""

    seed: int
    promises: list[str]
    """Those that were broken, with what happened."""
    digest: str
    seconds: float
    faults: dict[str, int]
    people: dict[str, int]
    """How often each thing was done."""
    crashed: bool = False
    """Whether the simulation itself failed, so that nothing is known of the product."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 1 if a promise was broken, 0 if none was."""
    options = _options(arguments)
    if options.plan is not None:
        return _one(msgspec.json.decode(options.plan.read_bytes(), type=Plan), options.planted)
    if options.seed is not None:
        return _one(drawn(options.seed), options.planted)
    if options.planted == "all":
        return _all_planted(options.first, options.seeds, options.jobs)
    return _many(options.first, options.seeds, options.jobs, options.planted)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds are run (200)")
    parser.add_argument("--from", dest="first", type=int, default=1, help="the first one (1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many run at a time (one a core)")
    parser.add_argument("--seed", type=int, help="run this one alone, and tell its story")
    parser.add_argument("--plan", type=Path, help="run the plan of a file, and tell its story")
    parser.add_argument(
        "--planted", default="", choices=["", "all", *PLANTED], metavar="NAME",
        help=f"plant a fault in the product: all, or one of {', '.join(PLANTED)}",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if options.planted == "all" and (options.plan is not None or options.seed is not None):
        parser.error("--planted all takes many seeds: name one fault with --seed or --plan")
    return options


def _one(plan: Plan, fault: str) -> int:
    with planted(fault):
        outcome = simulate(plan, traced=True)
    print(story(outcome))
    print(f"\n{outcome.digest}")
    return 1 if outcome.broken else 0


def _many(first: int, count: int, jobs: int, fault: str) -> int:
    tally, progress = Tally(count), Progress()
    for ran in _run_all(range(first, first + count), jobs, fault):
        tally.add(ran)
        if ran.promises:
            print(f"\nseed {ran.seed}: {ran.promises[0]}", flush=True)
        progress.show(tally.text())
    print(f"\n{tally.text()}\nfaults: {_listed(tally.faults)}\npeople: {_listed(tally.people)}\nhash: {tally.digest()}")
    if tally.broken:
        _explain(tally.broken[0], fault)
    return 1 if tally.broken or tally.crashed else 0


class Tally:
    """What has come of the seeds so far.

    Args:
        count: how many there are to run.
    """

    def __init__(self, count: int) -> None:
        self.broken: list[int] = []
        self.crashed: list[int] = []
        self.faults: Counter[str] = Counter()
        self.people: Counter[str] = Counter()
        self._count = count
        self._begin = time.monotonic()
        self._done = 0
        self._seconds = 0.0
        self._digest = hashlib.sha256()

    def add(self, ran: Ran) -> None:
        """Count a seed."""
        self._done += 1
        self._seconds += ran.seconds
        self._digest.update(ran.digest.encode())
        self.faults.update(ran.faults)
        self.people.update(ran.people)
        if ran.crashed:
            self.crashed.append(ran.seed)
        elif ran.promises:
            self.broken.append(ran.seed)

    def digest(self) -> str:
        """A hash of everything that happened: the same seeds give the same one in every process."""
        return self._digest.hexdigest()

    def text(self) -> str:
        """The figures in a line."""
        rate = self._done / (time.monotonic() - self._begin)
        return (
            f"{self._done} of {self._count} seeds, {rate:.1f} a second, {self._seconds / 3600:.1f} virtual hours, "
            f"{len(self.broken) + len(self.crashed)} with a broken promise"
        )


class Progress:
    """Shows how far long work has come: in place on a terminal, else a line now and then."""

    def __init__(self) -> None:
        self._shown = time.monotonic()

    def show(self, text: str) -> None:
        """Show it."""
        if sys.stdout.isatty():
            print(f"\r\x1b[K{text}", end="", flush=True)
        elif time.monotonic() - self._shown >= _LINE_EVERY_S:
            self._shown = time.monotonic()
            print(text, flush=True)


def _explain(seed: int, fault: str) -> None:
    """Shrink a seed that broke a promise, tell its story, and keep its plan."""
    print(f"shrinking seed {seed} ...")
    with planted(fault):
        outcome = shrink(simulate(drawn(seed)), Progress().show)
        told = story(simulate(outcome.plan, traced=True))
    KEPT_IN.mkdir(parents=True, exist_ok=True)
    kept = KEPT_IN / f"{seed}.json"
    kept.write_bytes(msgspec.json.format(msgspec.json.encode(outcome.plan)))
    print(f"\n\n{told}\n\nkept in {kept}: run it again by --plan {kept}")


def _all_planted(first: int, count: int, jobs: int) -> int:
    """Find each planted fault, by seeds that break no promise without it; 1 if one is not found."""
    missed = 0
    for name, fault in PLANTED.items():
        begin = time.monotonic()
        for tried, ran in enumerate(_run_all(range(first, first + count), jobs, name), 1):
            if ran.promises and not ran.crashed and not _run("", ran.seed).promises:
                seconds = time.monotonic() - begin
                print(f"{name}: found by seed {ran.seed}, after {tried} seeds and {seconds:.0f} s", flush=True)
                print(f"    planted: {fault.what}\n    found: {ran.promises[0]}", flush=True)
                break
        else:
            missed += 1
            print(f"{name}: NOT FOUND in {count} seeds", flush=True)
    return 1 if missed else 0


def _run_all(seeds: Sequence[int], jobs: int, fault: str) -> Iterator[Ran]:
    if jobs == 1:
        yield from map(partial(_run, fault), seeds)
        return
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=_SEEDS_OF_A_PROCESS) as pool:
        yield from pool.imap(partial(_run, fault), seeds)


def _run(fault: str, seed: int) -> Ran:
    try:
        with planted(fault):
            outcome = simulate(drawn(seed))
    except Exception:  # noqa: BLE001 - it is told, and the other seeds are run
        return Ran(seed, [f"the simulation failed: {traceback.format_exc()}"], "", 0.0, {}, {}, crashed=True)
    return _summary(seed, outcome)


def _summary(seed: int, outcome: Outcome) -> Ran:
    said = [f"{broken.promise}: {broken.what}" for broken in outcome.broken]
    faults = Counter(fault.what for fault in outcome.plan.faults)
    people = Counter(action.what for action in outcome.plan.actions)
    return Ran(seed, said, outcome.digest, outcome.seconds, dict(faults), dict(people))


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))


if __name__ == "__main__":
    sys.exit(main())
