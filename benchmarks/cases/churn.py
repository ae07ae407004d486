"""`fanout bench churn`: whether answers stay right and memory comes back."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta
from msgspec.structs import astuple, replace

from benchmarks import units
from benchmarks.apart import Stages, run_apart
from benchmarks.case import QUICK, Case
from benchmarks.costs import Held, require_room
from benchmarks.errors import TablesDifferError
from benchmarks.measure.churn import SETTLING_LOGINS, SETTLING_S, STEPS, Churned, Moments
from benchmarks.measure.churn import churn as measured_churn
from benchmarks.population import Population
from benchmarks.report import Figure, Report, Row, Table, at_most, exact, figures

_FULL: Final = 1_000_000
_GROWTH_LIMIT: Final = 5


class ChurnOptions(msgspec.Struct, frozen=True):
    """Who stays, and what comes and goes."""

    population: Population = Population(users=4_000, channels=200_000, memberships=1_200_000, instances=100)
    """Small, so that as many visitors as there are users go through all their channels many times."""
    visitors: Annotated[int, Meta(ge=1, description="Users who come and go beside those who stay.")] = 4_000
    operations: Annotated[int, Meta(ge=1, description="Joins, leaves, logins, logouts and drops.")] = _FULL
    scale: float = 1.0
    """The part of all three that is measured: less than all to try it out."""

    @property
    def measured(self) -> Population:
        """Who stays."""
        return self.population.scaled(self.scale)

    def scaled(self, count: int) -> int:
        """Of visitors or operations, the part that is measured."""
        return max(1, round(count * self.scale))


def run(options: ChurnOptions, stages: Stages) -> Report:
    """The same steps twice: held against a model, and alone for the sake of memory.

    Raises:
        BenchError: it cannot be drawn, does not fit the machine, or the engine and the model differ.
    """
    options.population.check()
    require_room(options.population, lambda population: [Held("python", population.scaled(options.scale))])
    checked = _churned(options, stages, "held against a plain model", checked=True)
    alone = _churned(options, stages, "alone, for memory", checked=False)
    if checked.returned != alone.returned:
        raise TablesDifferError("the same steps returned something else the second time")
    operations, visitors = options.scaled(options.operations), options.scaled(options.visitors)
    judged = operations >= _FULL and visitors >= options.measured.users
    return Report(
        f"Churn: {operations:,} random joins, leaves, logins and drops",
        f"{checked.answers_checked:,} answers were those of a plain model. When everybody who came had left again, "
        f"the engine held {units.size(alone.held_bytes.settled)}, and {units.size(alone.held_bytes.first)} before.",
        [
            *(
                at_most(f"{what}, more than at the beginning", _growth(held), _GROWTH_LIMIT, "%", judged=judged)
                for what, held in _memories(alone).items()
            ),
            exact("answers that a plain model gives too", f"all {checked.answers_checked:,}"),
        ],
        [_memory(alone), _steps(checked)],
        {"checked": checked, "alone": alone},
    )


def _churned(options: ChurnOptions, stages: Stages, how: str, *, checked: bool) -> Churned:
    operations, visitors = options.scaled(options.operations), options.scaled(options.visitors)
    progress = stages(f"{units.count(operations)} steps, {how}")
    return run_apart(progress, measured_churn, options.measured, visitors, operations, checked=checked)


def _memory(alone: Churned) -> Table:
    notes = {
        "memory of the engine": "Bytes held by the engine's structures, by its own count.",
        "memory of the process": "Resident memory, with the interpreter's and what the allocator keeps for later.",
    }
    rows = [
        Row(what, [*figures("bytes", astuple(held)), Figure(_growth(held), "%")], notes[what])
        for what, held in _memories(alone).items()
    ]
    return Table(
        "Memory",
        "At the beginning only those are online who stay; at the end the visitors' instances are dropped and their "
        "lists forgotten. The allocator gives back after a second what is not used again: a while later is "
        f"{units.duration(SETTLING_S)} and {SETTLING_LOGINS:,} logins of one user later, as is the beginning.",
        ["at the beginning", "at most", "at the end", "a while later", "difference"],
        rows,
        bars=[0, 1, 2, 3],
    )


def _memories(alone: Churned) -> dict[str, Moments]:
    return {"memory of the engine": alone.held_bytes, "memory of the process": alone.resident_bytes}


def _growth(held: Moments) -> float:
    return (held.settled / held.first - 1) * 100


def _steps(checked: Churned) -> Table:
    return Table(
        "What was done",
        "Each step was done to the engine and to a model in Python dicts, and what both returned was compared; what "
        "both say of a sample of channels and users at every ten thousandth, and at the end of all.",
        ["times"],
        [Row(what, [Figure(checked.operations.get(what, 0), "number")], note) for what, (_, note) in STEPS.items()],
    )


CASE: Final = Case(
    "churn",
    "Let users come, go, join and leave at random, and see whether memory comes back.\n\n"
    "Each step is held against a plain model; when all visitors have left, memory is compared with the beginning.",
    ChurnOptions,
    run,
    lambda options: replace(options, scale=QUICK),
    stages=2,
)
