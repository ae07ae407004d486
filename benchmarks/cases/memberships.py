"""`fanout bench memberships`: a user's channels read from MongoDB, and logins, beside PyMongo alone."""

from typing import Final

from benchmarks import units
from benchmarks.apart import Stages, run_apart
from benchmarks.case import Case, part
from benchmarks.live.long_lists import FULL_CHANNELS, ListOptions, Lists, Reader, run_lists
from benchmarks.live.long_logins import Logins
from benchmarks.live.stalls import LIMIT_S, Stalls, beside_an_idle_loop
from benchmarks.report import Cell, Figure, Report, Row, Table, Target, at_most, exact, figures

AT_MOST: Final = 1.5
"""Times the seconds of PyMongo alone."""
_CACHED_S: Final = 0.1


def run(options: ListOptions, stages: Stages) -> Report:
    """Read the channels of one user in both ways, in turn.

    Raises:
        BenchError: there is no server, or something else was read than was written.
    """
    size = f"{options.channels:,} memberships of one user"
    progress = stages(size)
    seen, idle = beside_an_idle_loop(lambda: run_apart(run_lists, options))
    progress(1.0, "")
    single, three = seen.logins
    adapter, bare = seen.adapter, seen.bare
    return Report(
        f"Memberships: {size}",
        f"The adapter read them in {units.duration(adapter.best)}, {units.times(adapter.best / bare.best)} the time of "
        f"PyMongo alone on the same server, whose speed is not that of a MongoDB. The loop stood still for at most "
        f"{units.duration(adapter.stalls.longest)}; its own thread worked for at most "
        f"{units.duration(adapter.stalls.longest_work)} in one turn. A login took {units.duration(min(single.new))}, "
        f"and {units.duration(min(single.known))} where the worker knew the channels.",
        targets(options, seen, idle),
        [
            Table(
                "How long it took",
                "The fastest round of each, and how long the loop on which it read stood still.",
                ["fastest round", "longest stall", "most work in one turn"],
                [Row("adapter", _cells(adapter)), Row("PyMongo alone", _cells(bare))],
            ),
            _logins("Logins of one user", single),
            _logins("Logins of three such users at the same time", three),
        ],
        {"readers": seen, "idle": idle},
    )


def targets(options: ListOptions, seen: Lists, idle: Stalls) -> list[Target]:
    """The targets; those of speed have no result of short lists, and a stall where an idle loop has one."""
    full = options.channels >= FULL_CHANNELS
    ratio = seen.adapter.best / seen.bare.best
    return [
        at_most("the adapter's time, in those of PyMongo alone", ratio, AT_MOST, "times", full=full),
        at_most("the most that the loop worked in one turn", seen.adapter.stalls.longest_work, LIMIT_S, "s", full=full),
        *(target for logins in seen.logins for target in _login_targets(logins, idle, full=full)),
        exact("channels that were read, sorted", f"all, in {options.rounds} rounds of each"),
    ]


def _login_targets(logins: Logins, idle: Stalls, *, full: bool) -> list[Target]:
    what, bare, stalls = units.counted(logins.users, "login"), min(logins.bare), logins.stalls
    steady = full and idle.longest <= LIMIT_S
    beside = f"{what}: the longest stall (an idle loop in another process: {units.duration(idle.longest)})"
    return [
        at_most(f"{what}, in times of PyMongo alone", min(logins.new) / bare, AT_MOST, "times", full=full),
        at_most(f"{what} from the worker's cache", min(logins.known), _CACHED_S, "s", full=full),
        at_most(beside, stalls.longest, LIMIT_S, "s", full=steady),
        at_most(f"{what}: the most that the loop worked in one turn", stalls.longest_work, LIMIT_S, "s", full=full),
    ]


def _logins(title: str, logins: Logins) -> Table:
    ways = {
        "PyMongo alone": (logins.bare, "It reads the channels of the same users."),
        "first login": (logins.new, "The worker reads them, and gives them to the instance."),
        "from the worker's cache": (logins.known, "The worker knows the channels: no store is asked."),
    }
    rows = [
        Row(name, [Figure(min(taken), "s"), Figure(min(taken) / min(logins.bare), "times")], note)
        for name, (taken, note) in ways.items()
    ]
    text = "The fastest round, from the first frame to the last `auth.ok`; a worker and an instance on one loop."
    return Table(title, text, ["time", "of PyMongo alone"], rows)


def _cells(reader: Reader) -> list[Cell]:
    return figures("s", [reader.best, reader.stalls.longest, reader.stalls.longest_work])


CASE: Final = Case(
    "memberships",
    "Read the channels of a user with very many from MongoDB, and let such users log in.\n\n"
    "The adapter, logins and PyMongo alone read the same documents of one server in turn; the loop is watched for "
    "stalls. It starts a FerretDB of its own, and checks what was read.",
    ListOptions,
    run,
    lambda options: ListOptions(part(options.channels), min(options.rounds, 2)),
    stages=1,
    background="Channels and their members are in a membership store. When a user connects, the user's channels are "
    "read from it on the event loop that serves everybody else, so no step of that is to be longer than 5 ms.",
)
