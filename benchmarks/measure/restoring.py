"""A snapshot read back in a process of its own, as a worker does that begins with it."""

import msgspec

from benchmarks.apart import Progress
from benchmarks.machine import watched
from benchmarks.measure.answers import digest_of_answers
from benchmarks.population import Population
from fanout import Engine


class RestoreSettings(msgspec.Struct, frozen=True):
    """Which file, and what it should hold."""

    path: str
    population: Population


class Restored(msgspec.Struct, frozen=True):
    """What it took, by the clock on the wall."""

    seconds: float
    most_bytes: int
    """Memory beyond the empty process, at most on the way."""
    answers: str
    """A digest of what the table answers about some channels."""


def restoring(settings: RestoreSettings, progress: Progress) -> Restored:
    """Read it."""
    progress(0.0, "reading the snapshot back")
    engines: list[Engine] = []
    seconds, most_bytes = watched(lambda: engines.append(Engine.restore(settings.path)))
    return Restored(seconds, most_bytes, digest_of_answers(engines[0], settings.population))
