import asyncio

import pytest
from prometheus_client import CollectorRegistry

from fanout.errors import Unavailable
from services.runtime.health import Degraded, Health, Readiness


async def fine() -> None:
    pass


async def hangs() -> None:
    await asyncio.Event().wait()


async def broken() -> None:
    raise Unavailable("redis://:hunter2@localhost refuses")


async def does_without() -> None:
    raise Degraded("its issuer is away")


async def mistaken() -> None:
    raise KeyError("a mistake of ours")


async def test_a_process_without_dependencies_is_ready() -> None:
    assert await Health().report() == Readiness(ready=True, degraded=False, checks={})


async def test_each_dependency_is_named() -> None:
    health = Health(timeout=0.01)
    for name, check in {"log": fine, "bus": hangs, "presence": broken}.items():
        health.add(name, check)
    report = await health.report()
    assert not report.ready
    assert report.checks == {"log": "ok", "bus": "no answer within 0.01 s", "presence": "Unavailable"}


async def test_a_process_whose_parts_are_still_to_come_is_not_ready() -> None:
    registry = CollectorRegistry()
    health = Health(registry=registry)
    with health.starting():
        health.add("log", fine)
        report = await health.report()
        assert (report.ready, report.checks) == (False, {"log": "ok", "process": "starting"})
        assert registry.get_sample_value("fanout_check_ok", {"check": "process"}) == 0
    assert await health.report() == Readiness(ready=True, degraded=False, checks={"log": "ok"})
    assert registry.get_sample_value("fanout_check_ok", {"check": "process"}) == 1


async def test_a_draining_process_is_not_ready() -> None:
    health = Health()
    health.add("log", fine)
    health.drain()
    report = await health.report()
    assert (report.ready, report.checks["process"]) == (False, "draining")


async def test_a_check_that_fails_in_an_unforeseen_way_does_not_pass_for_ready() -> None:
    health = Health()
    health.add("log", mistaken, required=False)
    health.add("bus", fine)
    report = await health.report()
    assert (report.ready, report.checks) == (False, {"log": "unexpected KeyError", "bus": "ok"})


@pytest.mark.parametrize("check", [broken, hangs])
async def test_what_is_not_required_degrades_and_is_named(check: object) -> None:
    health = Health(timeout=0.01)
    health.add("log", fine)
    health.add("presence", check, required=False)  # type: ignore[arg-type]
    report = await health.report()
    assert (report.ready, report.degraded) == (True, True)
    assert report.checks["presence"] != "ok"


async def test_a_required_dependency_that_is_done_without_for_now_degrades() -> None:
    health = Health()
    health.add("keys", does_without)
    assert await health.report() == Readiness(ready=True, degraded=True, checks={"keys": "its issuer is away"})


async def test_a_process_that_is_not_ready_is_not_called_degraded() -> None:
    health = Health()
    health.add("log", broken)
    health.add("keys", does_without)
    report = await health.report()
    assert (report.ready, report.degraded) == (False, False)


@pytest.mark.parametrize("order", [(True, False), (False, True)])
async def test_what_one_service_of_the_process_requires_stays_required(order: tuple[bool, bool]) -> None:
    health = Health()
    for required in order:
        health.add("presence", broken, required=required)
    assert not (await health.report()).ready


async def test_the_figures_are_those_of_the_last_report() -> None:
    registry = CollectorRegistry()
    health = Health(registry=registry)
    health.add("log", fine)
    health.add("presence", broken, required=False)
    await health.report()
    figures = [
        registry.get_sample_value(name, labels)
        for name, labels in (
            ("fanout_ready", {}),
            ("fanout_degraded", {}),
            ("fanout_check_ok", {"check": "log"}),
            ("fanout_check_ok", {"check": "presence"}),
        )
    ]
    assert figures == [1, 1, 1, 0]
    health.add("log", broken)
    await health.report()
    assert registry.get_sample_value("fanout_ready") == 0
    assert registry.get_sample_value("fanout_degraded") == 0
