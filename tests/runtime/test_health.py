import asyncio

import pytest

from fanout.errors import Unavailable
from services.runtime.health import Health


async def fine() -> None:
    pass


async def hangs() -> None:
    await asyncio.Event().wait()


async def broken() -> None:
    raise Unavailable("redis://:hunter2@localhost refuses")


async def test_a_process_without_dependencies_is_ready() -> None:
    assert (await Health().report()).ready


async def test_each_dependency_is_named() -> None:
    health = Health(timeout=0.01)
    for name, check in {"log": fine, "bus": hangs, "presence": broken}.items():
        health.add(name, check)
    report = await health.report()
    assert not report.ready
    assert report.checks == {"log": "ok", "bus": "no answer within 0.01 s", "presence": "Unavailable"}


async def test_a_draining_process_is_not_ready() -> None:
    health = Health()
    health.add("log", fine)
    health.drain()
    report = await health.report()
    assert (report.ready, report.checks["process"]) == (False, "draining")


async def test_a_check_that_fails_in_an_unforeseen_way_does_not_pass_for_ready() -> None:
    async def mistaken() -> None:
        raise KeyError("a mistake of ours")

    health = Health()
    health.add("log", mistaken)
    with pytest.raises(KeyError):
        await health.report()
