"""`fanout bench sizing`: what the routing table of so many users and channels costs."""

from typing import Final

import msgspec

from benchmarks import units
from benchmarks.apart import run_apart
from benchmarks.costs import require_room
from benchmarks.errors import TablesDifferError
from benchmarks.measure.fill import Filled, FillSettings, fill
from benchmarks.population import Population
from benchmarks.report import Report, Target, at_least, at_most
from benchmarks.reports import sizing_sections as sections
from benchmarks.reports.framing import SPEC, Run, agree_first
from benchmarks.stages import Stages
from benchmarks.tables import KINDS, TITLES, Kind

_RESIDENT_LIMIT_MB: Final = 450
_LOOKUPS_LIMIT_M: Final = 5
_FRACTIONS: Final = (1 / 8, 1 / 4, 1 / 2)


class SizingOptions(msgspec.Struct, frozen=True):
    """What to build."""

    population: Population = SPEC
    lookups: int = 5_000_000
    alternatives: float = 1 / 8
    """The part of the size at which the tables in Python and in Cython are built; 0 leaves them out."""


def sizing(options: SizingOptions, stages: Stages) -> Report:
    """Build the table at several sizes, and the alternatives at one.

    Raises:
        BenchError: it cannot be drawn, does not fit the machine, or the tables differ.
    """
    run = Run()
    _check(options)
    agree_first(stages)
    curve = {share: _filled("engine", options, share, stages) for share in (*_FRACTIONS, 1.0)}
    others = _alternatives(options, stages, curve)
    whole = curve[1.0]
    return run.report(
        "sizing",
        f"Sizing: {units.count(options.population.users)} users, {units.count(options.population.channels)} channels, "
        f"{units.count(options.population.memberships)} memberships",
        _summary(options.population, whole),
        options,
        _targets(options.population, whole),
        [
            sections.memory(options.population, whole),
            sections.costs(options.population, whole),
            sections.growth(options.population, curve),
            *sections.alternatives(options.population.scaled(options.alternatives), others),
        ],
        {"engine": {f"{share:g}": filled for share, filled in curve.items()}, "alternatives": others},
    )


def _check(options: SizingOptions) -> None:
    options.population.check()
    for share in (*_FRACTIONS, options.alternatives or 1.0):
        options.population.scaled(share).check()
    require_room("engine", options.population, copies=2)  # the second is read back from the first one's snapshot
    for kind in KINDS:
        require_room(kind, options.population.scaled(options.alternatives))


def _filled(kind: Kind, options: SizingOptions, share: float, stages: Stages) -> Filled:
    settings = FillSettings(kind, options.population.scaled(share), options.lookups)
    return run_apart(fill, settings, Filled, stages(f"{TITLES[kind]}, {share:.4g} of the size"))


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


def _summary(population: Population, whole: Filled) -> str:
    text = (
        f"The routing table takes {units.size(whole.resident_bytes)} of memory, "
        f"{whole.resident_bytes / population.memberships:.3g} bytes for each membership, and was filled in "
        f"{units.duration(whole.fill_seconds)}."
    )
    expected = units.size(sum(sections.expected_bytes(population).values()))
    return f"{text} The platform's specification expects {expected} for it."


def _targets(population: Population, whole: Filled) -> list[Target]:
    judged, million = _is_spec(population), 1e6
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
    ]


def _is_spec(population: Population) -> bool:
    return msgspec.structs.replace(population, instances=SPEC.instances, skew=SPEC.skew, seed=SPEC.seed) == SPEC
