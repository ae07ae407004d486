"""Dead letters: kept with their reason, counted by reader, and not lost while the log is away."""

from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY

from fanout import Unavailable
from fanout.ports.log import StoredEvent
from fanout.streams import DEAD, MESSAGES
from fanout.subjects import message
from services.adapters.embedded.log import EmbeddedLog
from services.runtime import tasks as tasks_module
from services.runtime.dead_letters import dead_letter

EVENT = StoredEvent(7, message("general"), b"no event")


@pytest.fixture
async def log() -> AsyncIterator[EmbeddedLog]:
    log = await EmbeddedLog.open(None)
    yield log
    await log.close()


def counted(reader: str) -> float:
    return REGISTRY.get_sample_value("fanout_events_dead_lettered_total", {"consumer": reader}) or 0.0


async def test_an_event_is_kept_and_counted(log: EmbeddedLog) -> None:
    before = counted("somebody")
    await dead_letter(log, MESSAGES, EVENT, "it is no event", reader="somebody")
    [kept] = [event async for event in log.read(DEAD, after=0, upto=10)]
    assert (kept.subject, kept.payload) == ("dead.MESSAGES.general", b"no event")
    assert counted("somebody") == before + 1


async def test_it_waits_for_a_log_that_is_away(log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "FIRST_DELAY_S", 0.001)
    keep, refusals = log.dead_letter, iter([Unavailable("away")] * 3)

    async def failing(stream: str, event: StoredEvent, reason: str) -> None:
        if (refusal := next(refusals, None)) is not None:
            raise refusal
        await keep(stream, event, reason)

    monkeypatch.setattr(log, "dead_letter", failing)
    await dead_letter(log, MESSAGES, EVENT, "it is no event", reader="somebody")
    assert await log.last_seq(DEAD) == 1
    assert next(refusals, None) is None
