"""The scenes, each beside an idle loop in a process of its own, which sees what the machine does to both."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.apart import Progress
from benchmarks.live.parts import Stage, playing
from benchmarks.live.stalls.instance import instance_rosters, instance_visits
from benchmarks.live.stalls.stores import StallsSettings
from benchmarks.live.stalls.watching import IdleSettings, Stalls, idle
from benchmarks.live.stalls.worker import worker_rosters, worker_visits

_READY_WITHIN_S: Final = 600.0
_DONE_WITHIN_S: Final = 3_600.0

SCENES: Final[dict[str, Callable[[StallsSettings, Stage], Stalls]]] = {
    "worker, rosters": worker_rosters,
    "worker, visits": worker_visits,
    "instance, rosters": instance_rosters,
    "instance, visits": instance_visits,
}


class Scene(msgspec.Struct, frozen=True):
    """A loop and the idle one beside it."""

    loop: Stalls
    control: Stalls


def scenes(settings: StallsSettings, folder: Path, progress: Progress) -> dict[str, Scene]:
    """Play each scene once.

    Raises:
        BenchError: a scene did not come to what it should.
    """
    played = {}
    for at, name in enumerate(SCENES):
        progress(at / len(SCENES), name)
        played[name] = scene(name, settings, folder)
    return played


def scene(name: str, settings: StallsSettings, folder: Path) -> Scene:
    """Play one.

    Raises:
        BenchError: it did not come to what it should.
    """
    label = name.replace(", ", "-")
    with playing(SCENES[name], settings, Stalls, label, folder) as part:
        part.await_ready(_READY_WITHIN_S)
        with playing(idle, IdleSettings(), Stalls, f"{label}-control", folder) as control:
            control.await_ready(_READY_WITHIN_S)
            part.cue()
            loop = part.result(_DONE_WITHIN_S)
            control.cue()
            return Scene(loop, control.result(_READY_WITHIN_S))
