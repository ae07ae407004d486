"""Shrinking: of a plan that breaks a promise, what is needed to break it."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from tests.simulation.plan import Plan, Shape
from tests.simulation.run import Outcome, simulate

MOST_RUNS: Final = 250


def shrink(outcome: Outcome, said: Callable[[str], None] = lambda _: None) -> Outcome:
    """Look for the smallest plan that still breaks the same promise.

    Args:
        outcome: of a run that broke one.
        said: is told how far it has come.

    Returns:
        the smallest run that was found, which may be the same.
    """
    promise = outcome.broken[0].promise
    runs = 0
    again = True
    while again:
        again = False
        for smaller in _smaller(outcome.plan):
            if runs == MOST_RUNS:
                return outcome
            runs += 1
            try:
                tried = simulate(smaller)
            except Exception:  # noqa: BLE001, S112 - a plan with which the simulation itself fails explains nothing
                continue
            if any(broken.promise == promise for broken in tried.broken):
                outcome, again = tried, True
                said(f"{_size(tried.plan)} ({runs} runs)")
                break
    return outcome


def _size(plan: Plan) -> str:
    return f"{len(plan.faults)} faults, {len(plan.actions)} actions, {len(plan.devices)} devices"


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Plans that have something less, those that have much less first."""
    for name in ("faults", "actions"):
        things: list[Any] = getattr(plan, name)
        size = len(things)
        while size:
            for begin in range(0, len(things), size):
                yield msgspec.structs.replace(plan, **{name: things[:begin] + things[begin + size :]})
            size //= 2
    for device in plan.devices:
        devices = {name: user for name, user in plan.devices.items() if name != device}
        actions = [action for action in plan.actions if action.who != device]
        yield msgspec.structs.replace(plan, devices=devices, actions=actions)
    yield from _simpler_tiers(plan)


def _simpler_tiers(plan: Plan) -> Iterator[Plan]:
    """The same faults and actions in a tier that has something less."""
    for link in plan.slow:
        slow = {name: seconds for name, seconds in plan.slow.items() if name != link}
        yield msgspec.structs.replace(plan, slow=slow)
    for count in ("gateways", "workers", "instances", "writers", "partitions"):
        if getattr(plan.shape, count) > 1:
            shape = msgspec.structs.replace(plan.shape, **{count: getattr(plan.shape, count) - 1})
            if set(_processes_of(plan)) <= set(msgspec.structs.replace(plan, shape=shape).processes()):
                yield msgspec.structs.replace(plan, shape=shape)
    for name in ("snapshots", "redeliver", "lose_ack", "skew_s"):
        if getattr(plan.shape, name):
            shape = msgspec.structs.replace(plan.shape, **{name: getattr(Shape(), name)})
            yield msgspec.structs.replace(plan, shape=shape)


def _processes_of(plan: Plan) -> list[str]:
    """The processes that faults strike."""
    return [fault.on for fault in plan.faults if fault.on in plan.processes()]
