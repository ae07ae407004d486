"""`fanout bench stalls`: how long the event loops of a worker and of an instance stand still, beside an idle loop."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from benchmarks import units
from benchmarks.apart import Stages
from benchmarks.case import Case, part
from benchmarks.errors import DoesNotFitError
from benchmarks.live.stalls.loop_lag import LIMIT_S, Stalls
from benchmarks.live.stalls.scenes import Scene, scenes
from benchmarks.live.stalls.stores import StallsSettings
from benchmarks.machine import available_bytes
from benchmarks.report import Cell, Figure, Report, Row, Table, Target, at_most, exact

FULL_USERS: Final = 50_000
FULL_CHANNELS: Final = 100_000
_USER_BYTES: Final = 8_000
"""Of a session and what belongs to it, on the safe side."""
_CHANNEL_BYTES: Final = 2_000
"""Of a channel in the store, in the table and as a name, on the safe side."""
_TURNS_FOR_P999: Final = 1_000
_NOTES: Final = {
    "worker, rosters": "A fan-out worker, whose table has all users of an instance, finds half of them to be others.",
    "worker, visits": "A fan-out worker places a user of very many channels, and takes the user off again; "
    "not the first time, for which the machine gives the memory.",
    "instance, rosters": "A notification instance tells who is here: digests each second, and its whole presence set.",
    "instance, visits": "A user of very many channels connects to a notification instance, and goes.",
}


class StallsOptions(msgspec.Struct, frozen=True):
    """How large rosters and lists are, and how often each is tried."""

    users: Annotated[int, Meta(ge=1, description="Users of an instance.")] = FULL_USERS
    channels: Annotated[int, Meta(ge=1, description="Channels of the user who comes and goes.")] = FULL_CHANNELS
    rounds: Annotated[int, Meta(ge=1, description="How often each is tried.")] = 10

    @property
    def judged(self) -> bool:
        """Whether it is what the target is about."""
        return self.users >= FULL_USERS and self.channels >= FULL_CHANNELS


def run(options: StallsOptions, stages: Stages) -> Report:
    """Watch both loops while rosters are reconciled and while a user of very many channels comes and goes.

    Raises:
        BenchError: it does not fit the machine, or what was done did not come to what it should.
    """
    _require_room(options)
    size = f"rosters of {options.users:,} users, and a user of {options.channels:,} channels"
    progress = stages(size)
    played = scenes(StallsSettings(options.users, options.channels, options.rounds), progress)
    progress(1.0, "")
    name, worst = max(played.items(), key=lambda item: item[1].loop.longest)
    work = max(scene.loop.longest_work for scene in played.values())
    return Report(
        f"Stalls: {size}",
        f"The longest stall was {units.duration(worst.loop.longest)} ({name}), and that of the idle loop beside it "
        f"{units.duration(worst.control.longest)}. The most that a loop's own thread worked in one turn was "
        f"{units.duration(work)}.",
        [*(target for name, scene in played.items() for target in targets(options, name, scene)), _outcome(options)],
        [_table(played)],
        {"scenes": played},
    )


def _require_room(options: StallsOptions) -> None:
    needed, room = options.users * _USER_BYTES + options.channels * _CHANNEL_BYTES, available_bytes()
    if needed > room:
        raise DoesNotFitError(
            f"these users and channels take up to {units.size(needed)}, and {units.size(room)} can be used: take "
            f"--users {options.users * room // needed} --channels {options.channels * room // needed}"
        )


def targets(options: StallsOptions, name: str, scene: Scene) -> list[Target]:
    """Of one scene. Where the idle loop stood still too, the machine did, and the longest stall is not judged."""
    steady, loop = scene.control.longest <= LIMIT_S, scene.loop
    judged = options.judged and steady
    stall = at_most(f"{name}: the longest stall", loop.longest, LIMIT_S, "s", judged=judged)
    if not steady:
        idle = units.duration(scene.control.longest)
        stall = replace(stall, measured=f"{stall.measured}; the idle loop beside it {idle}")
    work = f"{name}: the most work in one turn"
    return [stall, at_most(work, loop.longest_work, LIMIT_S, "s", judged=options.judged)]


def _outcome(options: StallsOptions) -> Target:
    what = "users who were placed, told of, or gone when they should be"
    return exact(what, f"all, in {options.rounds} rounds of each")


def _table(played: dict[str, Scene]) -> Table:
    rows = [
        row
        for name, scene in played.items()
        for row in (Row(name, _cells(scene.loop), _NOTES[name]), Row(f"{name}: idle loop", _cells(scene.control)))
    ]
    return Table(
        "Stalls of the loops",
        "How much later than due a timer of one millisecond came. The most work is processor time of the loop's own "
        "thread between two turns, without what the machine and other threads took.",
        ["longest", "p99.9", "over 5 ms", "turns", "most work"],
        rows,
        bars=[0],
    )


def _cells(seen: Stalls) -> list[Cell]:
    return [
        Figure(seen.longest, "s"),
        Figure(seen.p999, "s") if seen.turns >= _TURNS_FOR_P999 else "too few",
        Figure(seen.over_limit, "number"),
        Figure(seen.turns, "number"),
        Figure(seen.longest_work, "s"),
    ]


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
