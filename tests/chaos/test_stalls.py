import pytest

from tests.chaos.stalls import BLOWS, try_all
from tests.support.servers import NatsServer


@pytest.mark.system
async def test_an_event_comes_to_every_reader_whatever_befell_it(nats_server: NatsServer) -> None:
    """How long it takes is for `python -m tests.chaos.stalls` to say, on a machine that has nothing else to do."""
    report = await try_all(nats_server, partitions=2, idle_rounds=1, rounds=1, expires_s=1.5, with_fetch=False)
    assert {case.blow for case in report} == set(BLOWS)
    assert {case.reader for case in report} == {"partition", "tail", "work queue"}
    assert {case: waits.never for case, waits in report.items() if waits.never} == {}
    assert {len(waits.seconds) for waits in report.values()} == {2}
