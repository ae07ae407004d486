"""`fanout bench import`: memberships imported into MongoDB, with a kill in the middle, beside PyMongo alone."""

from typing import Final

from benchmarks import units
from benchmarks.apart import Stages, run_apart
from benchmarks.case import Case, part
from benchmarks.live.importing import FULL_MEMBERSHIPS, Half, Imported, ImportScale, import_twice
from benchmarks.report import Figure, Report, Row, Table, Target, at_most, exact, figures

_FLAT: Final = 1.1
"""Times the memory after the first tenth of an import: what it holds at its end."""


def run(options: ImportScale, stages: Stages) -> Report:
    """Import twice, beside bulk inserts.

    Raises:
        BenchError: there is no server, or not every membership is there, once.
    """
    size = f"{options.memberships:,} memberships in {options.channels:,} channels"
    progress = stages(size)
    seen = run_apart(import_twice, options)
    progress(1.0, "")
    rate, bare = _rates(seen)
    peak = max(seen.first.peaks + seen.second.peaks)
    return Report(
        f"Import: {size}",
        f"The import writes {units.count(rate)} memberships per second, {units.times(rate / bare)} as many as PyMongo "
        f"alone on the same server, whose speed is not that of a MongoDB. It holds at most {units.size(peak)}. After "
        f"the kill, {seen.repeated:,} rows were written again, which changed nothing.",
        targets(options, seen),
        [
            Table(
                "Memberships per second",
                "Rows are sorted by channel. The import is killed in the middle; the second half begins with the rows "
                "whose progress was not kept. PyMongo inserts the same documents, 1,000 at a time.",
                ["import", "PyMongo alone", "of it", "longest wait for progress", "most memory"],
                [_row("first half, then killed", seen.first), _row("second half, resumed", seen.second)],
                bars=[0],
            )
        ],
        {"halves": [seen.first, seen.second], "repeated": seen.repeated},
    )


def targets(options: ImportScale, seen: Imported) -> list[Target]:
    """The targets: memory does not grow with the file, and nothing is lost."""
    full = options.memberships >= FULL_MEMBERSHIPS
    return [
        at_most(
            "memory at the end, in times of that after a tenth", grown(seen.first.peaks), _FLAT, "times", full=full
        ),
        exact("memberships after a kill in the middle, each once", f"all {options.memberships:,}"),
    ]


def grown(peaks: list[int]) -> float:
    """The last peak, in times of that after the first tenth."""
    return peaks[-1] / peaks[len(peaks) // 10]


def _rates(seen: Imported) -> tuple[float, float]:
    halves = (seen.first, seen.second)
    rows = sum(half.rows for half in halves)
    return rows / sum(half.seconds for half in halves), rows / sum(half.rows / half.bare for half in halves)


def _row(name: str, half: Half) -> Row:
    rates = figures("/s", (half.rate, half.bare))
    wait, memory = Figure(half.longest_wait, "s"), Figure(max(half.peaks), "bytes")
    return Row(name, [*rates, Figure(half.rate / half.bare, "times"), wait, memory])


CASE: Final = Case(
    "import",
    "Import memberships into MongoDB, with a kill in the middle.\n\n"
    "Beside bulk inserts of PyMongo. It starts a FerretDB of its own, and checks that every membership is there, once.",
    ImportScale,
    run,
    lambda options: ImportScale(part(options.memberships), part(options.channels)),
    stages=1,
    background="Channels and their members are in a membership store. `fanout import` fills it from files: in bounded "
    "memory, and so that an import that was interrupted goes on where it was.",
)
