"""`make bench`: a login with 100,000 channels, a logout, and lookups, against a table in plain Python."""

import random
import time
from collections.abc import Callable
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.baselines.python_table import PythonTable
from fanout import Engine

CHANNELS = 1_000_000
BASE_USERS = 10_000
CHANNELS_PER_USER = 100
BIG_USER_CHANNELS = 100_000
INSTANCES = 20
LOOKUPS = 200_000
ROUNDS = 5


def build() -> tuple[Engine, PythonTable, list[str], random.Random]:
    """The same population in both tables."""
    choice = random.Random(1)  # noqa: S311 - a fixed population
    names = [f"channel-{number:08d}" for number in range(CHANNELS)]
    engine, table = Engine(), PythonTable()
    for number in range(BASE_USERS):
        channels = choice.sample(names, CHANNELS_PER_USER)
        for place in (engine, table):
            place.user_online(f"user-{number}", f"notif-{number % INSTANCES}", channels)
    return engine, table, names, choice


def check(engine: Engine, table: PythonTable, channels: list[str]) -> None:
    """Both answer the same, or nothing is timed."""
    for channel in channels:
        assert engine.instances(channel) == table.instances(channel), f"the tables differ on {channel}"


def milliseconds(work: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def main() -> None:
    """Build, check, time, print."""
    engine, table, names, choice = build()
    sample = choice.sample(names, 2_000)
    check(engine, table, sample)
    rows: dict[str, tuple[list[float], list[float]]] = {}

    def timed(what: str, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
        mine, other = rows.setdefault(what, ([], []))
        mine.append(milliseconds(ours))
        other.append(milliseconds(theirs))

    for _ in range(ROUNDS):
        mine = choice.sample(names, BIG_USER_CHANNELS)
        lookups = choice.choices(names, k=LOOKUPS)
        timed(
            "login, 100K channels by name",
            lambda c=mine: engine.user_online("big", "notif-0", c),  # type: ignore[misc]
            lambda c=mine: table.user_online("big", "notif-0", c),  # type: ignore[misc]
        )
        check(engine, table, mine[:500])
        timed(
            "200K single lookups",
            lambda c=lookups: [engine.instances(channel) for channel in c],  # type: ignore[misc]
            lambda c=lookups: [table.instances(channel) for channel in c],  # type: ignore[misc]
        )
        timed(
            "logout, 100K channels",
            lambda: engine.user_offline("big", "notif-0"),
            lambda: table.user_offline("big", "notif-0"),
        )
        check(engine, table, mine[:500])
    show(rows)


def show(rows: dict[str, tuple[list[float], list[float]]]) -> None:
    """Medians and their ratio."""
    table = Table("what", "engine ms", "Python dicts ms", "ratio", title=f"{CHANNELS:,} channels, {ROUNDS} rounds")
    for what, (mine, other) in rows.items():
        table.add_row(what, f"{median(mine):.1f}", f"{median(other):.1f}", f"{median(other) / median(mine):.1f}x")
    Console().print(table)


if __name__ == "__main__":
    main()
