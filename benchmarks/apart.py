"""Measuring in a process of its own: what else this process holds does not count, and a failure takes nothing along."""

from collections.abc import Callable
from typing import Any, Concatenate, Final, NamedTuple, ParamSpec, TypeVar, cast

from benchmarks.processes import Leader, Worker

_NEARLY: Final = 0.99
"""The most that is told of a measurement that goes on: 1 stops the clock."""
_ANSWER_WITHIN_S: Final = 3_600.0

P = ParamSpec("P")
R = TypeVar("R")

Progress = Callable[[float, str], None]
"""Told how far a measurement is: a share from 0 to 1, and what is being done."""
Stages = Callable[[str], Progress]
"""Takes the title of the next stage of a run, and gives what is told how far that is: 1 when it has ended."""


class _Step(NamedTuple):
    share: float
    what: str


def run_apart(
    progress: Progress, measurement: Callable[Concatenate[Progress, P], R], *args: P.args, **kwargs: P.kwargs
) -> R:
    """Run a function of a module in a new interpreter, with a progress of its own; a `BenchError` if it fails."""
    settings = (measurement, args, kwargs)
    with Worker(measurement.__name__, _measure, settings, answer_within_s=_ANSWER_WITHIN_S) as worker:
        while isinstance(message := worker.receive(object), _Step):
            progress(min(message.share, _NEARLY), message.what)
    progress(1.0, "")
    return cast("R", message)


def _measure(settings: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]], leader: Leader) -> object:
    measurement, args, kwargs = settings
    return measurement(lambda share, what: leader.send(_Step(share, what)), *args, **kwargs)
