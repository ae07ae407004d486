"""`fanout bench churn`: whether answers stay right and memory comes back."""

from typing import Final

import msgspec

from benchmarks import units
from benchmarks.apart import run_apart
from benchmarks.costs import Held, require_room
from benchmarks.errors import TablesDifferError
from benchmarks.measure.churn import SETTLING_LOGINS, SETTLING_S, Churned, ChurnSettings, Moments
from benchmarks.measure.churn import churn as measured_churn
from benchmarks.population import Population
from benchmarks.report import Bar, BarPlot, Report, Row, Section, Table, Target, at_most
from benchmarks.reports.framing import Run
from benchmarks.stages import Stages

FULL: Final = 1_000_000
_GROWTH_LIMIT: Final = 5
STAGES: Final = 2
"""Held against a model, and alone."""
_MOMENTS: Final = ("at the beginning", "at most", "at the end", "a while later")


class ChurnOptions(msgspec.Struct, frozen=True):
    """Who stays, and what comes and goes."""

    population: Population = Population(users=4_000, channels=200_000, memberships=1_200_000, instances=100)
    """Small, so that as many visitors as there are users go through all their channels many times."""
    visitors: int = 4_000
    operations: int = FULL
    scale: float = 1.0
    """The part of all three that is measured: less than all to try it out."""

    @property
    def measured(self) -> Population:
        """Who stays."""
        return self.population.scaled(self.scale)

    def scaled(self, count: int) -> int:
        """Of visitors or operations, the part that is measured."""
        return max(1, round(count * self.scale))


def churn(options: ChurnOptions, stages: Stages) -> Report:
    """The same steps twice: held against a model, and alone for the sake of memory.

    Raises:
        BenchError: it cannot be drawn, does not fit the machine, or the engine and the model differ.
    """
    run = Run()
    options.population.check()
    require_room(options.population, lambda population: [Held("python", population.scaled(options.scale))])
    checked = _churned(options, stages, "held against a plain model", checked=True)
    alone = _churned(options, stages, "alone, for memory", checked=False)
    if checked.returned != alone.returned:
        raise TablesDifferError("the same steps returned something else the second time")
    return run.report(
        "churn",
        f"Churn: {options.scaled(options.operations):,} random joins, leaves, logins and drops",
        f"{checked.answers_checked:,} answers were those of a plain model. When everybody who came had left again, the "
        f"engine held {units.size(alone.held_bytes.settled)}, and {units.size(alone.held_bytes.first)} before.",
        options,
        _targets(options, checked, alone),
        [_memory(alone), _steps(checked)],
        {"checked": checked, "alone": alone},
    )


def _churned(options: ChurnOptions, stages: Stages, how: str, *, checked: bool) -> Churned:
    operations = options.scaled(options.operations)
    settings = ChurnSettings(options.measured, options.scaled(options.visitors), operations, checked)
    return run_apart(measured_churn, settings, Churned, stages(f"{units.count(operations)} steps, {how}"))


def _targets(options: ChurnOptions, checked: Churned, alone: Churned) -> list[Target]:
    judged = options.scaled(options.operations) >= FULL and options.scaled(options.visitors) >= options.measured.users
    grown = [(what, _growth(held)) for what, held in _memories(alone).items()]
    return [
        *(at_most(f"{what}, more than at the beginning", by, _GROWTH_LIMIT, "%", judged=judged) for what, by in grown),
        Target(
            "answers that a plain model gives too (exact at any size)",
            "all",
            f"all {checked.answers_checked:,}",
            met=True,
        ),
    ]


def _memory(alone: Churned) -> Section:
    memories = _memories(alone)
    rows = [
        Row(what, [*map(units.size, msgspec.structs.astuple(held)), f"{_growth(held):+.1f} %"], _MEANINGS[what])
        for what, held in memories.items()
    ]
    bars = [
        Bar(f"{what} {moment}", read, units.size(read), series)
        for series, (what, held) in enumerate(memories.items())
        for moment, read in zip(_MOMENTS, msgspec.structs.astuple(held), strict=True)
    ]
    return Section(
        "Memory",
        "At the beginning only those are online who stay. Then visitors come, go, join and leave, a sixth of their "
        "channels being new ones. At the end the instances of all visitors are dropped and their lists forgotten. What "
        "is not used again the allocator gives back after a second, once it is at work again: a while later is "
        f"{units.duration(SETTLING_S)} and {SETTLING_LOGINS:,} logins of one user later, and so is the beginning. The "
        "difference is that between the two.",
        [Table([*_MOMENTS, "difference"], rows)],
        [BarPlot("Memory before, during and after", "What is held when visitors have left should be as before.", bars)],
    )


_MEANINGS: Final = {
    "memory of the engine": "Bytes held by the engine's structures, as it counts them itself.",
    "memory of the process": "Resident memory, with the interpreter's and what the allocator keeps for later.",
}


def _memories(alone: Churned) -> dict[str, Moments]:
    return dict(zip(_MEANINGS, (alone.held_bytes, alone.resident_bytes), strict=True))


def _growth(held: Moments) -> float:
    return (held.settled / held.first - 1) * 100


def _steps(checked: Churned) -> Section:
    meanings = {
        "join": "A user became a member of a channel.",
        "leave": "A user is a member of a channel no more.",
        "login": "A user came online with a list of up to 200 channels.",
        "login known": "A user came online, the channels to be known from before: an unknown user is refused.",
        "logout": "A user left an instance.",
        "forget": "A user's cached list was dropped.",
        "drop": "An instance was evicted whole.",
    }
    rows = [Row(what, [f"{checked.operations.get(what, 0):,}"], meaning) for what, meaning in meanings.items()]
    return Section(
        "What was done",
        "Each step was done to the engine and to a plain model in Python dicts. What both returned was compared at "
        "each step, and what both say of a sample of channels and users at every ten thousandth; at the end, of all.",
        [Table(["times"], rows)],
    )
