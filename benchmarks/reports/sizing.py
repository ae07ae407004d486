"""`fanout bench sizing`: what the routing table of so many users and channels costs."""

from typing import Final

import msgspec
from msgspec.structs import replace

from benchmarks import units
from benchmarks.apart import run_apart
from benchmarks.costs import Held, require_room
from benchmarks.errors import TablesDifferError
from benchmarks.measure.fill import Filled, FillSettings, fill
from benchmarks.population import Population
from benchmarks.report import Report, Target, at_least, at_most
from benchmarks.reports import sizing_sections as sections
from benchmarks.reports.framing import SPEC, Run, agree_first
from benchmarks.reports.sizing_hardware import another_deployment, hardware
from benchmarks.stages import Stages
from benchmarks.tables import KINDS, TITLES, Kind

_RESIDENT_LIMIT_MB: Final = 450
_LOOKUPS_LIMIT_M: Final = 5
_RESTORE_LIMIT_S: Final = 5
_FRACTIONS: Final = (1 / 8, 1 / 4, 1 / 2)
STAGES: Final = 1 + len(_FRACTIONS) + len(KINDS)
"""Agreement, the parts of the engine's table, and each whole; the engine's part is also what others are beside."""


class SizingOptions(msgspec.Struct, frozen=True):
    """What to build."""

    population: Population = SPEC
    scale: float = 1.0
    """The part of that population that is built: less than all to try it out."""
    lookups: int = 5_000_000
    events: int = 200_000
    alternatives: float = 1 / 8
    """The part of what is built at which the tables in Python and in Cython are; 0 leaves them out."""

    @property
    def measured(self) -> Population:
        """What is built."""
        return self.population.scaled(self.scale)


def sizing(options: SizingOptions, stages: Stages) -> Report:
    """Build the table at several sizes, and the alternatives at one.

    Raises:
        BenchError: it cannot be drawn, does not fit the machine, or the tables differ.
    """
    run = Run()
    options.population.check()
    require_room(options.population, lambda population: _tables(replace(options, population=population)))
    agree_first(stages)
    curve = {share: _filled("engine", options, share, stages) for share in (*_FRACTIONS, 1.0)}
    others = _alternatives(options, stages, curve)
    population, whole = options.measured, curve[1.0]
    return run.report(
        "sizing",
        f"Sizing: {population.shape()}",
        sections.summary(population, whole),
        options,
        _targets(population, whole),
        [
            *hardware(population, whole),
            sections.speed(population, whole),
            another_deployment(population, whole),
            sections.memory(population, whole),
            sections.growth(population, curve),
            *sections.alternatives(options.alternatives, population.scaled(options.alternatives), others),
        ],
        {"engine": {f"{share:g}": filled for share, filled in curve.items()}, "alternatives": others},
    )


def _tables(options: SizingOptions) -> list[Held]:
    """The engine's second copy is the one that is read back from the first one's snapshot."""
    smaller = options.measured.scaled(options.alternatives)
    others = [Held(kind, smaller) for kind in KINDS[1:]] if options.alternatives else []
    return [Held("engine", options.measured, copies=2), *others]


def _filled(kind: Kind, options: SizingOptions, share: float, stages: Stages) -> Filled:
    settings = FillSettings(kind, options.measured.scaled(share), options.lookups, options.events)
    return run_apart(fill, settings, Filled, stages(f"{TITLES[kind]}, {units.of_size(share)}"))


def _alternatives(options: SizingOptions, stages: Stages, curve: dict[float, Filled]) -> dict[Kind, Filled]:
    """The engine too, at their size."""
    share = options.alternatives
    if not share:
        return {}
    filled: dict[Kind, Filled] = {"engine": curve.get(share) or _filled("engine", options, share, stages)}
    filled.update({kind: _filled(kind, options, share, stages) for kind in KINDS[1:]})
    if len({(each.answers, each.entries) for each in filled.values()}) > 1:
        raise TablesDifferError(
            "the tables answered differently about the same channels, so their figures are not compared"
        )
    return filled


def _targets(population: Population, whole: Filled) -> list[Target]:
    judged, million = population == SPEC, 1e6
    restored = [] if whole.snapshot is None else [whole.snapshot.restored_seconds]
    return [
        at_most(
            "resident memory of the whole table",
            whole.resident_bytes / million,
            _RESIDENT_LIMIT_MB,
            "MB",
            judged=judged,
        ),
        at_least(
            "channels looked up by name in batches, by one core",
            whole.lookups_per_second / million,
            _LOOKUPS_LIMIT_M,
            "M/s",
            judged=judged,
        ),
        *(
            at_most("the whole table restored from a snapshot", seconds, _RESTORE_LIMIT_S, "s", judged=judged)
            for seconds in restored
        ),
    ]
