"""`fanout bench memberships`: how long a user's channels take to be read from MongoDB, beside PyMongo alone."""

from typing import Final

from benchmarks import units
from benchmarks.apart import Stages, run_apart
from benchmarks.case import Case, part
from benchmarks.live.long_lists import FULL_CHANNELS, ListOptions, Lists, Reader, run_lists
from benchmarks.live.stalls import LIMIT_S
from benchmarks.report import Cell, Report, Row, Table, Target, at_most, exact, figures

AT_MOST: Final = 1.5
"""Times the seconds of PyMongo alone."""


def run(options: ListOptions, stages: Stages) -> Report:
    """Read the channels of one user in both ways, in turn.

    Raises:
        BenchError: there is no server, or something else was read than was written.
    """
    size = f"{options.channels:,} memberships of one user"
    progress = stages(size)
    seen = run_apart(run_lists, options)
    progress(1.0, "")
    adapter, bare = seen.adapter, seen.bare
    return Report(
        f"Memberships: {size}",
        f"The adapter read them in {units.duration(adapter.best)}, {units.times(adapter.best / bare.best)} the time of "
        f"PyMongo alone on the same server, whose speed is not that of a MongoDB. The loop stood still for at most "
        f"{units.duration(adapter.stalls.longest)}; its own thread worked for at most "
        f"{units.duration(adapter.stalls.longest_work)} in one turn.",
        targets(options, seen),
        [
            Table(
                "How long it took",
                "The fastest round of each, and how long the loop on which it read stood still.",
                ["fastest round", "longest stall", "most work in one turn"],
                [Row("adapter", _cells(adapter)), Row("PyMongo alone", _cells(bare))],
            )
        ],
        {"readers": seen},
    )


def targets(options: ListOptions, seen: Lists) -> list[Target]:
    """The targets; those of speed have no result where the lists are short."""
    full = options.channels >= FULL_CHANNELS
    ratio = seen.adapter.best / seen.bare.best
    return [
        at_most("the adapter's time, in those of PyMongo alone", ratio, AT_MOST, "times", full=full),
        at_most("the most that the loop worked in one turn", seen.adapter.stalls.longest_work, LIMIT_S, "s", full=full),
        exact("channels that were read, sorted", f"all, in {options.rounds} rounds of each"),
    ]


def _cells(reader: Reader) -> list[Cell]:
    return figures("s", [reader.best, reader.stalls.longest, reader.stalls.longest_work])


CASE: Final = Case(
    "memberships",
    "Read the channels of a user with very many from MongoDB.\n\n"
    "The adapter and PyMongo alone read the same documents of one server in turn; the loop is watched for stalls. It "
    "starts a FerretDB of its own, and checks what was read.",
    ListOptions,
    run,
    lambda options: ListOptions(part(options.channels), min(options.rounds, 2)),
    stages=1,
    background="Channels and their members are in a membership store. When a user connects, the user's channels are "
    "read from it on the event loop that serves everybody else, so no step of that is to be longer than 5 ms.",
)
