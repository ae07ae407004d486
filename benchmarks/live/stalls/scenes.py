"""The scenes, each beside an idle loop in a process of its own, which sees what the machine does to both."""

from collections.abc import Callable
from typing import Final

import msgspec

from benchmarks.apart import Progress
from benchmarks.live.stalls.instance import instance_presence, instance_visits
from benchmarks.live.stalls.loop_lag import Stalls, idle
from benchmarks.live.stalls.stores import StallsSettings
from benchmarks.live.stalls.worker import worker_presence, worker_visits
from benchmarks.processes import GO, Leader, Worker

_DONE_WITHIN_S: Final = 3_600.0

SCENES: Final[dict[str, Callable[[StallsSettings, Leader], Stalls]]] = {
    "worker, rosters": worker_presence,
    "worker, visits": worker_visits,
    "instance, rosters": instance_presence,
    "instance, visits": instance_visits,
}


class Scene(msgspec.Struct, frozen=True):
    """A loop and the idle one beside it."""

    loop: Stalls
    control: Stalls


def scenes(settings: StallsSettings, progress: Progress) -> dict[str, Scene]:
    """Run each scene once.

    Raises:
        BenchError: what was done did not have its effect.
    """
    seen = {}
    for at, name in enumerate(SCENES):
        progress(at / len(SCENES), name)
        seen[name] = scene(name, settings)
    return seen


def scene(name: str, settings: StallsSettings) -> Scene:
    """Run one.

    Raises:
        BenchError: what was done did not have its effect.
    """
    with Worker(name, SCENES[name], settings, answer_within_s=_DONE_WITHIN_S) as worker:
        worker.receive(str)
        with Worker(f"the idle loop beside {name}", idle, None) as control:
            control.receive(str)
            worker.send(GO)
            loop = worker.receive(Stalls)
            control.send(GO)
            return Scene(loop, control.receive(Stalls))
