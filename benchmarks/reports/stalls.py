"""`fanout bench stalls`: how long the event loops of a worker and of an instance stand still, beside an idle loop."""

from typing import Final

import msgspec
from msgspec.structs import replace

from benchmarks import units
from benchmarks.errors import DoesNotFitError
from benchmarks.live.servers import workplace
from benchmarks.live.stalls.scenes import Scene, scenes
from benchmarks.live.stalls.stores import StallsSettings
from benchmarks.live.stalls.watching import LIMIT_S, Stalls
from benchmarks.machine import available_bytes
from benchmarks.report import Bar, BarPlot, Report, Row, Section, Table, Target, at_most
from benchmarks.reports.framing import Run
from benchmarks.stages import Stages

STAGES: Final = 1
FULL_USERS: Final = 50_000
FULL_CHANNELS: Final = 100_000
_USER_BYTES: Final = 8_000
"""Of a session and what belongs to it, on the safe side."""
_CHANNEL_BYTES: Final = 2_000
"""Of a channel in the store, in the table and as a name, on the safe side."""
_LIMIT_MS: Final = LIMIT_S * 1e3
_BACKGROUND: Final = (
    "A fan-out worker and a notification instance do everything in one event loop each. What holds the loop holds all "
    "that is on it: a worker that stands still is taken for dead by the others after 1.6 s, and the sockets of an "
    "instance wait. So no step on a loop is to be longer than 5 ms, whatever its size. A timer on the loop is due each "
    "millisecond, and how late it comes is how long the loop stood still. Beside it an idle loop in a process of its "
    "own has the same timer: what it sees is the machine's, and on machines that share their cores that is much."
)
_TURNS_FOR_P999: Final = 1_000
_MEANINGS: Final = {
    "worker, rosters": "A fan-out worker, whose table has all users of an instance, finds half of them to be others.",
    "worker, visits": "A fan-out worker places a user of very many channels, and takes the user off again; "
    "not the first time, for which the machine gives the memory.",
    "instance, rosters": "A notification instance tells who is here: digests each second, and its whole roster.",
    "instance, visits": "A user of very many channels connects to a notification instance, and goes.",
}


class StallsOptions(msgspec.Struct, frozen=True):
    """How large rosters and lists are, and how often each is tried."""

    users: int = FULL_USERS
    channels: int = FULL_CHANNELS
    rounds: int = 10

    @property
    def judged(self) -> bool:
        """Whether it is what the target is about."""
        return self.users >= FULL_USERS and self.channels >= FULL_CHANNELS


def stalls(options: StallsOptions, stages: Stages) -> Report:
    """Watch both loops while rosters are reconciled and while a user of very many channels comes and goes.

    Raises:
        BenchError: it does not fit the machine, or what was done did not come to what it should.
    """
    run = Run(_BACKGROUND)
    _require_room(options)
    settings = StallsSettings(options.users, options.channels, options.rounds)
    with workplace() as folder:
        progress = stages(f"rosters of {options.users:,} users, and a user of {options.channels:,} channels")
        played = scenes(settings, folder, progress)
        progress(1.0, "")
    return run.report(
        "stalls",
        f"Stalls: rosters of {options.users:,} users, and a user of {options.channels:,} channels",
        _summary(played),
        options,
        [*(target for name, scene in played.items() for target in _targets(options, name, scene)), _outcome(options)],
        [_section(played)],
        {"scenes": played},
    )


def _require_room(options: StallsOptions) -> None:
    needed, room = options.users * _USER_BYTES + options.channels * _CHANNEL_BYTES, available_bytes()
    if needed > room:
        raise DoesNotFitError(
            f"these users and channels take up to {units.size(needed)}, and {units.size(room)} can be used: take "
            f"--users {options.users * room // needed} --channels {options.channels * room // needed}"
        )


def _summary(played: dict[str, Scene]) -> str:
    name, worst = max(played.items(), key=lambda item: item[1].loop.longest)
    return (
        f"The longest stall was {units.duration(worst.loop.longest)} ({name}), and that of the idle loop beside it "
        f"{units.duration(worst.control.longest)}. The most that a loop's own thread worked in one turn was "
        f"{units.duration(max(scene.loop.longest_work for scene in played.values()))}."
    )


def _targets(options: StallsOptions, name: str, scene: Scene) -> list[Target]:
    work = scene.loop.longest_work * 1e3
    return [
        _target(options, name, scene),
        at_most(f"{name}: the most work in one turn", work, _LIMIT_MS, "ms", judged=options.judged),
    ]


def _target(options: StallsOptions, name: str, scene: Scene) -> Target:
    """The idle loop says what the machine is good for: where it stood still too, the other's longest says nothing."""
    steady = scene.control.longest <= LIMIT_S
    target = at_most(
        f"{name}: the longest stall", scene.loop.longest * 1e3, _LIMIT_MS, "ms", judged=options.judged and steady
    )
    if steady:
        return target
    beside = f"{target.measured}; the idle loop beside it {units.digits(scene.control.longest * 1e3)} ms"
    return replace(target, measured=beside)


def _outcome(options: StallsOptions) -> Target:
    return Target(
        "users who were placed, told of, or gone when they should be (exact at any size)",
        "all",
        f"all, in {options.rounds} rounds of each",
        met=True,
    )


def _section(played: dict[str, Scene]) -> Section:
    rows = [row for name, scene in played.items() for row in _rows(name, scene)]
    bars = [
        Bar(f"{name}{suffix}", seen.longest, units.duration(seen.longest), series)
        for name, scene in played.items()
        for series, (suffix, seen) in enumerate((("", scene.loop), (", idle loop beside it", scene.control)))
    ]
    return Section(
        "Stalls of the loops",
        "How much later than due a timer of one millisecond came. Each scene checks that what was done had its effect. "
        "The most work is processor time of the loop's own thread between two turns: it leaves out what the machine "
        "took, and the time for which other threads of the process held the interpreter.",
        [Table(["longest", "p99.9", "over 5 ms", "turns", "most work"], rows)],
        [BarPlot("Longest stalls", "Each loop, and the idle one beside it in the same moments.", bars)],
    )


def _rows(name: str, scene: Scene) -> list[Row]:
    return [
        Row(name, _cells(scene.loop), _MEANINGS[name]),
        Row(f"{name}: idle loop", _cells(scene.control), "A loop with nothing to do, in the same moments.", part=True),
    ]


def _cells(seen: Stalls) -> list[str]:
    return [
        units.duration(seen.longest),
        units.duration(seen.p999) if seen.turns >= _TURNS_FOR_P999 else "too few",
        f"{seen.over_limit:,}",
        f"{seen.turns:,}",
        units.duration(seen.longest_work),
    ]
