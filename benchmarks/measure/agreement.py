"""Before anything is timed: the engine and its alternatives answer the same."""

from typing import Final

import msgspec

from benchmarks.apart import Progress, Stages, run_apart
from benchmarks.errors import TablesDifferError
from benchmarks.measure.fill import bring_online, check_against_population, digest_of_answers
from benchmarks.measure.routing import batches_of, event
from benchmarks.population import Population, instance_name, user_name
from benchmarks.tables import KINDS, TITLES, Table, new_table

_COMPARED: Final = Population(users=300, channels=3_000, memberships=30_000, instances=20)


class Agreed(msgspec.Struct, frozen=True):
    """They do."""

    compared: int
    """Answers."""


def agree_first(stages: Stages) -> None:
    """Compare answers before speeds.

    Raises:
        BenchError: the engine and an alternative differ.
    """
    run_apart(stages("checking that all tables answer alike"), agreement, _COMPARED)


def agreement(progress: Progress, population: Population) -> Agreed:
    """Do the same to all of them, and compare.

    Raises:
        TablesDifferError: two answered differently.
    """
    answers = {kind: _answers(new_table(kind), population, progress) for kind in KINDS}
    for kind in KINDS:
        for mine, engines in zip(answers[kind], answers["engine"], strict=True):
            if mine != engines:
                raise TablesDifferError(f"{TITLES[kind]} and the engine differ: {mine!r:.200} and {engines!r:.200}")
    return Agreed(compared=len(answers["engine"]))


def _answers(table: Table, population: Population, progress: Progress) -> list[object]:
    """What every call returned, and what the table holds at the beginning, in the middle, and at the end."""
    answers: list[object] = [bring_online(table, population, progress)[0]]
    check_against_population(table, population)
    answers += [digest_of_answers(table, population), _routed(table, population)]
    leaving = [(user_name(user), instance_name(user, population.instances)) for user in range(0, population.users, 3)]
    answers += [table.user_offline(*who) for who in leaving]
    answers += [digest_of_answers(table, population), _routed(table, population)]
    answers += [table.user_online(*who) for who in leaving]
    return [*answers, digest_of_answers(table, population)]


def _routed(table: Table, population: Population) -> dict[str, list[bytes]]:
    names = population.some_names(min(100, population.channels), draw=1)
    return batches_of(table, [(name, event(number, 100)) for number, name in enumerate(names)])
