import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fanout import machine
from fanout.errors import OutcomeUnknown, StorageFull, Unavailable
from tests.simulation.hosts import HOST
from tests.simulation.links import SILENCE_S, TIMEOUT_S, USUAL_S, Linked
from tests.support.simulated import Stage

Work = Callable[[], Awaitable[Any]]


def call(stage: Stage, work: Work, **options: bool) -> "asyncio.Task[Any]":
    """A call of the client, on its host."""
    return stage.client.start(stage.link.call(work, "a call", **options), "calling")


def taking(seconds: float, did: list[str] | None = None) -> Work:
    """Work of the server that takes so long."""

    async def work() -> str:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            if did is not None:
                did.append("cancelled")
            raise
        if did is not None:
            did.append("done")
        return "answer"

    return work


@pytest.mark.parametrize("forth", [True, False])
def test_what_is_sent_one_way_arrives_in_order_at_the_other_end(*, forth: bool) -> None:
    stage, arrived = Stage(), []

    def arrive(number: int) -> None:
        arrived.append((number, HOST.get().name))

    async def work() -> None:
        for number in range(50):
            stage.link.carry(lambda n=number: arrive(n), forth=forth)  # type: ignore[misc]
            await asyncio.sleep(USUAL_S[0] / 2)
        await asyncio.sleep(1.0)

    stage.run(work)
    assert arrived == [(number, "server" if forth else "client") for number in range(50)]


def test_a_call_is_done_at_the_server_and_answered() -> None:
    stage = Stage()

    async def which() -> str:
        await asyncio.sleep(0)
        return HOST.get().name

    async def work() -> None:
        begin = stage.loop.time()
        assert await call(stage, which) == "server"
        assert 2 * USUAL_S[0] < stage.loop.time() - begin < 2 * USUAL_S[1] + 0.001

    stage.run(work)


def test_the_error_of_the_server_is_that_of_the_call() -> None:
    async def refuse() -> None:
        await asyncio.sleep(0)
        raise StorageFull("no room")

    async def work() -> None:
        with pytest.raises(StorageFull, match="no room"):
            await call(stage, refuse)

    stage = Stage()
    stage.run(work)


def test_a_slow_link_takes_longer_each_way() -> None:
    stage = Stage()
    stage.link.slowness = 0.4

    async def work() -> None:
        await call(stage, taking(0.0))
        assert 0.8 < stage.loop.time() < 0.81

    stage.run(work)


def test_a_call_that_is_not_answered_when_the_link_is_cut_has_an_unknown_outcome_and_later_ones_fail() -> None:
    stage = Stage()

    async def work() -> None:
        calling, patient = call(stage, taking(1.0)), call(stage, taking(1.0), patient=True)
        await asyncio.sleep(0.5)
        stage.link.cut()
        for waiting in (calling, patient):
            with pytest.raises(OutcomeUnknown):
                await waiting
        assert stage.loop.time() == pytest.approx(0.5, abs=0.001)
        with pytest.raises(Unavailable) as raised:
            await call(stage, taking(0.0))
        assert not isinstance(raised.value, OutcomeUnknown)

    stage.run(work)


def test_a_cut_link_is_mended_as_often_as_it_was_cut() -> None:
    stage = Stage()

    async def work() -> None:
        stage.link.cut()
        stage.link.cut()
        stage.link.repair()
        assert stage.link.is_cut
        with pytest.raises(Unavailable):
            await call(stage, taking(0.0))
        stage.link.repair()
        assert not stage.link.is_cut
        assert await call(stage, taking(0.0)) == "answer"

    stage.run(work)


def arrived_of(seed: int, *, forth: bool) -> list[int]:
    """Which of 20 messages arrive that were under way when the link was cut."""
    stage, arrived = Stage(seed), list[int]()

    async def work() -> None:
        for number in range(20):
            stage.link.carry(lambda n=number: arrived.append(n), forth=forth)  # type: ignore[misc]
        stage.link.cut()
        stage.link.repair()
        await asyncio.sleep(1.0)

    stage.run(work)
    return arrived


def test_of_what_is_under_way_to_the_server_when_the_link_is_cut_a_first_part_may_arrive() -> None:
    runs = [arrived_of(seed, forth=True) for seed in range(20)]
    assert all(arrived == list(range(len(arrived))) for arrived in runs)
    assert {0, 1, 2} < {len(arrived) for arrived in runs}
    assert max(map(len, runs)) < 20


def test_of_what_is_under_way_to_the_process_when_the_link_is_cut_nothing_arrives() -> None:
    assert all(arrived_of(seed, forth=False) == [] for seed in range(5))


def test_nothing_is_sent_over_a_link_that_is_cut() -> None:
    stage, arrived = Stage(), []

    async def work() -> None:
        stage.link.cut()
        stage.link.carry(lambda: arrived.append(1), forth=True)
        stage.link.repair()
        await asyncio.sleep(1.0)

    stage.run(work)
    assert arrived == []


def test_a_stalled_link_holds_what_is_sent_and_what_is_under_way_until_it_flows() -> None:
    stage, arrived = Stage(), []

    def send(number: int) -> None:
        stage.link.carry(lambda: arrived.append((number, stage.loop.time())), forth=True)

    async def work() -> None:
        send(0)
        stage.link.stall()
        stage.link.stall()
        send(1)
        await asyncio.sleep(1.0)
        stage.link.flow()
        send(2)
        assert stage.link.is_silent
        assert arrived == []
        await asyncio.sleep(1.0)
        stage.link.flow()
        send(3)
        await asyncio.sleep(1.0)

    stage.run(work)
    assert [number for number, _ in arrived] in ([0, 1, 2, 3], [1, 0, 2, 3])
    assert all(at >= 2.0 for _, at in arrived)


def test_a_call_over_a_link_that_is_stalled_briefly_is_answered_late() -> None:
    stage = Stage()

    async def work() -> None:
        stage.link.stall()
        calling = call(stage, taking(0.0))
        await asyncio.sleep(TIMEOUT_S - 0.5)
        stage.link.flow()
        assert await calling == "answer"
        assert stage.loop.time() > TIMEOUT_S - 0.5

    stage.run(work)


@pytest.mark.parametrize(("patient", "within"), [(False, TIMEOUT_S), (True, SILENCE_S)])
@pytest.mark.parametrize("silent", ["stalled", "server paused"])
def test_a_call_that_hears_nothing_fails_in_the_end(*, silent: str, patient: bool, within: float) -> None:
    stage = Stage()

    async def work() -> None:
        if silent == "stalled":
            stage.link.stall()
        else:
            stage.loop.pause(stage.server)
        with pytest.raises(OutcomeUnknown):
            await call(stage, taking(0.0), patient=patient)
        assert stage.loop.time() == pytest.approx(within, abs=0.001)

    stage.run(work)


def test_a_call_whose_work_takes_too_long_has_an_unknown_outcome_and_the_work_is_done() -> None:
    stage = Stage()
    did: list[str] = []

    async def work() -> None:
        with pytest.raises(OutcomeUnknown):
            await call(stage, taking(TIMEOUT_S + 1.0, did))
        assert stage.loop.time() == pytest.approx(TIMEOUT_S, abs=0.001)
        await asyncio.sleep(2.0)
        assert did == ["done"]

    stage.run(work)


def test_a_patient_call_waits_as_long_as_the_connection_is_there() -> None:
    stage = Stage()

    async def work() -> None:
        assert await call(stage, taking(60.0), patient=True) == "answer"
        assert stage.loop.time() > 60.0

    stage.run(work)


def test_a_patient_call_notices_a_stall_that_comes_later() -> None:
    stage = Stage()

    async def work() -> None:
        waiting = call(stage, taking(60.0), patient=True)
        await asyncio.sleep(10.0)
        stage.link.stall()
        with pytest.raises(OutcomeUnknown):
            await waiting
        assert 10.0 < stage.loop.time() < 10.0 + 2 * SILENCE_S

    stage.run(work)


def test_a_patient_call_that_is_cancelled_ends_its_work_at_the_server() -> None:
    stage = Stage()
    did: list[str] = []

    async def work() -> None:
        waiting = call(stage, taking(60.0, did), patient=True)
        await asyncio.sleep(1.0)
        waiting.cancel()
        await asyncio.sleep(1.0)
        assert waiting.cancelled()
        assert did == ["cancelled"]

    stage.run(work)


def test_a_cut_ends_the_work_of_patient_calls_alone() -> None:
    stage = Stage()
    patient: list[str] = []
    usual: list[str] = []

    async def work() -> None:
        calls = [call(stage, taking(1.5, patient), patient=True), call(stage, taking(1.5, usual))]
        await asyncio.sleep(1.0)
        stage.link.cut()
        await asyncio.gather(*calls, return_exceptions=True)
        await asyncio.sleep(1.0)

    stage.run(work)
    assert (patient, usual) == (["cancelled"], ["done"])


def test_a_server_that_works_as_the_client_has_its_clock() -> None:
    stage = Stage()

    async def which() -> machine.Machine:
        await asyncio.sleep(0)
        return machine.current()

    async def work() -> None:
        assert await call(stage, which) is stage.server.machine
        assert await call(stage, which, as_client=True) is stage.client.machine
        assert await call(stage, which) is stage.server.machine

    stage.run(work)


def test_an_error_whose_answer_is_lost_is_no_error_of_the_server() -> None:
    stage = Stage()
    errors: list[str] = []
    stage.loop.on_error = lambda _host, error: errors.append(error)

    async def fail() -> None:
        stage.loop.call_soon(stage.link.cut, context=stage.outside.context)
        raise StorageFull("it is full")

    async def work() -> None:
        waiting = call(stage, fail)
        await asyncio.wait([waiting])
        assert isinstance(waiting.exception(), OutcomeUnknown)
        await asyncio.sleep(1.0)

    stage.run(work)
    assert errors == []


def test_the_client_of_a_call_that_was_killed_gets_nothing_and_the_work_is_done() -> None:
    stage = Stage()
    did: list[str] = []

    async def work() -> None:
        waiting = call(stage, taking(1.0, did))
        await asyncio.sleep(0.5)
        stage.loop.kill(stage.client)
        stage.link.cut()
        await asyncio.sleep(5.0)
        assert not waiting.done()

    stage.run(work)
    assert did == ["done"]


class Till:
    """An object of the server."""

    async def add(self, one: int, *, to: int) -> int:
        await asyncio.sleep(0)
        return one + to


def test_an_object_of_the_server_is_called_by_its_methods() -> None:
    stage = Stage()
    refusals: dict[str, Exception] = {}
    till = Linked(stage.link, Till(), refusals.get)

    async def work() -> None:
        assert await stage.client.start(till.add(1, to=2), "adding") == 3
        refusals["add"] = StorageFull("no room")
        with pytest.raises(StorageFull):
            await stage.client.start(till.add(1, to=2), "adding")
        refusals.clear()
        stage.link.cut()
        with pytest.raises(Unavailable):
            await stage.client.start(till.add(1, to=2), "adding")

    stage.run(work)


def test_an_object_of_the_server_has_no_other_methods() -> None:
    with pytest.raises(AttributeError):
        Linked(Stage().link, Till(), lambda _: None).take  # noqa: B018 - looking it up is what fails
