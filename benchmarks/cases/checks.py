"""`fanout bench checks`: what a check of a membership costs a gateway, by the store and by the cache in front of it."""

from typing import Final

from benchmarks import units
from benchmarks.apart import Stages, run_apart
from benchmarks.case import Case, part
from benchmarks.live.checks import ASKING, FULL_CHECKS, KEPT, STORE, STORES, WAYS, CheckOptions, Cost, run_checks
from benchmarks.report import Report, Row, Table, Target, at_least, at_most, exact, figures

AT_LEAST: Final = 10.0
"""Times the processor time of a check that the cache answers: what the store takes."""
AT_MOST: Final = 1.2
"""Times the processor time of the store: what a check takes that the cache cannot answer."""


def run(options: CheckOptions, stages: Stages) -> Report:
    """Check memberships in all ways, in turn.

    Raises:
        BenchError: there is no server, or an answer was wrong.
    """
    progress = stages(f"{options.checks:,} checks in each way")
    costs = run_apart(run_checks, options)
    progress(1.0, "")
    saved = {store: costs[store][STORE].processor / costs[store][KEPT].processor for store in STORES}
    return Report(
        f"Checks of memberships: {options.checks:,} in a round",
        f"A check takes {units.duration(costs['SQLite'][KEPT].processor)} of the gateway's processor time if the cache "
        f"has the answer. By SQLite it takes {units.times(saved['SQLite'])}, by FerretDB "
        f"{units.times(saved['FerretDB'])} as much, beside what the server itself takes.",
        targets(options, costs),
        [
            Table(
                f"A check, memberships in {store}",
                "The fastest round. One check after another, by one task. The processor time is that of all threads of "
                "the process that checks.",
                ["by the clock", "processor time"],
                [Row(way, figures("s", [costs[store][way].clock, costs[store][way].processor])) for way in WAYS],
            )
            for store in STORES
        ],
        {"checks": costs},
    )


def targets(options: CheckOptions, costs: dict[str, dict[str, Cost]]) -> list[Target]:
    """The targets; those of speed have no result where there are few checks."""
    full = options.checks >= FULL_CHECKS
    found = [exact("answers for members and for others", f"all, by {len(STORES)} stores in {len(WAYS)} ways")]
    for store in STORES:
        alone, kept, asking = (costs[store][way].processor for way in (STORE, KEPT, ASKING))
        found += [
            at_least(
                f"{store} alone, in times of the cache that has the answer", alone / kept, AT_LEAST, "times", full=full
            ),
            at_most(f"the cache that asks {store}, in times of it alone", asking / alone, AT_MOST, "times", full=full),
        ]
    return found


CASE: Final = Case(
    "checks",
    "Check memberships, and see what each check costs a gateway.\n\n"
    "By the store alone, SQLite and a FerretDB that it starts, and by the cache in front of it. Every answer is "
    "checked before the clock runs.",
    CheckOptions,
    run,
    lambda options: CheckOptions(part(options.checks), min(options.rounds, 2)),
    stages=1,
    background="Before a message is accepted or a history is read, the gateway checks that the user is a member. It "
    "keeps the answer for a short time, and drops it when a member event says that the membership has changed.",
)
