"""Measuring in a process of its own: what else this process holds does not count, and a failure takes nothing along."""

from collections.abc import Callable
from functools import partial
from typing import Final, ParamSpec, TypeVar, cast

from benchmarks.processes import Leader, Worker

_ANSWER_WITHIN_S: Final = 3_600.0

P = ParamSpec("P")
R = TypeVar("R")

Progress = Callable[[float, str], None]
"""Told how far a measurement is: a share from 0 to 1, and what is being done."""
Stages = Callable[[str], Progress]
"""Takes the title of the next stage of a run, and gives what is told how far that is: 1 when it has ended."""


def run_apart(measurement: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a function of a module in a new interpreter; a `BenchError` if it fails."""
    work = partial(measurement, *args, **kwargs)
    with Worker(measurement.__name__, _measure, work, answer_within_s=_ANSWER_WITHIN_S) as worker:
        return cast("R", worker.receive(object))


def _measure(work: Callable[[], object], _: Leader) -> object:
    return work()
