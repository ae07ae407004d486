"""`fanout bench stalls`: how long the event loops of a worker and of an instance stand still, beside an idle loop."""

from typing import Final

from msgspec.structs import replace

from benchmarks import units
from benchmarks.apart import Stages
from benchmarks.case import Case, part
from benchmarks.errors import DoesNotFitError
from benchmarks.live.stalls import FULL_CHANNELS, FULL_USERS, LIMIT_S, SCENES, Scene, StallsOptions, run_scene
from benchmarks.machine import available_bytes
from benchmarks.report import Figure, Report, Row, Table, Target, at_most, exact, figures

_USER_BYTES: Final = 8_000
"""Bytes of a session and what belongs to it, on the safe side."""
_CHANNEL_BYTES: Final = 2_000
"""Bytes of a channel in the store, in the table and as a name, on the safe side."""


def run(options: StallsOptions, stages: Stages) -> Report:
    """Watch both loops while presence is reconciled and while a user of very many channels comes and goes.

    Raises:
        BenchError: it does not fit the machine, or what was done did not come to what it should.
    """
    needed, room = options.users * _USER_BYTES + options.channels * _CHANNEL_BYTES, available_bytes()
    if needed > room:
        raise DoesNotFitError(
            f"these users and channels take up to {units.size(needed)}, and {units.size(room)} can be used: take "
            f"--users {options.users * room // needed} --channels {options.channels * room // needed}"
        )
    size = f"presence sets of {options.users:,} users, and a user of {options.channels:,} channels"
    progress, seen = stages(size), dict[str, Scene]()
    for name, (play, _) in SCENES.items():
        progress(len(seen) / len(SCENES), name)
        seen[name] = run_scene(name, play, options)
    progress(1.0, "")
    name, worst = max(seen.items(), key=lambda item: item[1].loop.longest)
    work = max(scene.loop.longest_work for scene in seen.values())
    outcome = "users who were placed, told of, or gone when they should be"
    return Report(
        f"Stalls: {size}",
        f"The longest stall was {units.duration(worst.loop.longest)} ({name}), and that of the idle loop beside it "
        f"{units.duration(worst.control.longest)}. The most that a loop's own thread worked in one turn was "
        f"{units.duration(work)}.",
        [
            *(target for name, scene in seen.items() for target in targets(options, name, scene)),
            exact(outcome, f"all, in {options.rounds} rounds of each"),
        ],
        [_table(seen)],
        {"scenes": seen},
    )


def targets(options: StallsOptions, name: str, scene: Scene) -> list[Target]:
    """The targets of one scene. The longest stall has no result where the idle loop stood still: the machine did."""
    full = options.users >= FULL_USERS and options.channels >= FULL_CHANNELS
    steady = scene.control.longest <= LIMIT_S
    stall = at_most(f"{name}: the longest stall", scene.loop.longest, LIMIT_S, "s", full=full and steady)
    if not steady:
        idle = units.duration(scene.control.longest)
        stall = replace(stall, measured=f"{stall.measured}; the idle loop beside it {idle}")
    work = f"{name}: the most work in one turn"
    return [stall, at_most(work, scene.loop.longest_work, LIMIT_S, "s", full=full)]


def _table(seen: dict[str, Scene]) -> Table:
    rows = []
    for name, scene in seen.items():
        for what, stalls, note in ((name, scene.loop, SCENES[name][1]), (f"{name}: idle loop", scene.control, "")):
            counts = figures("number", (stalls.over_limit, stalls.turns))
            rows.append(Row(what, [Figure(stalls.longest, "s"), *counts, Figure(stalls.longest_work, "s")], note))
    return Table(
        "Stalls of the loops",
        "How much later than due a timer of one millisecond came. The most work is processor time of the loop's own "
        "thread between two turns, without what the machine and other threads took.",
        ["longest", "over 5 ms", "turns", "most work"],
        rows,
        bars=[0],
    )


CASE: Final = Case(
    "stalls",
    "Watch the event loops of a fan-out worker and of a notification instance for stalls.\n\n"
    "While presence is reconciled, and while a user of very many channels comes and goes; beside an idle loop in the "
    "same moments, which sees what the machine does. It needs no server, and checks that what was done had its effect.",
    StallsOptions,
    run,
    lambda options: StallsOptions(part(options.users), part(options.channels), min(options.rounds, 2)),
    stages=1,
    background="A fan-out worker and a notification instance do everything in one event loop each, so no step on it is "
    "to be longer than 5 ms, whatever its size: a worker that stands still is taken for dead after 1.6 s, and the "
    "sockets of an instance wait. Beside it an idle loop in a process of its own sees what the machine does.",
)
