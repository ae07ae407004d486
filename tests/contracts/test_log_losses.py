"""The contract of `fanout.ports.log` about dead letters and lost events, held by every adapter."""

from fanout import machine
from fanout.ports.log import Log, Reset, StoredEvent
from fanout.streams import DEAD, MESSAGES, META
from tests.support.reading import append_messages


class TestDeadLetters:
    async def test_keeps_the_event_once(self, log: Log) -> None:
        await append_messages(log, "general", [5])
        event = await log.get(MESSAGES, 1)
        assert event is not None
        for _ in range(2):
            await log.dead_letter(MESSAGES, event, "no message event:\r\nbroken")
        assert await log.last_seq(DEAD) == 1
        dead_lettered = await log.get(DEAD, 1)
        assert dead_lettered is not None
        assert (dead_lettered.subject, dead_lettered.payload) == ("dead.MESSAGES.general", b"5")

    async def test_events_of_two_streams_with_one_sequence_are_two(self, log: Log) -> None:
        event = StoredEvent(1, "channels.member.joined.general", b"x")
        await log.dead_letter(META, event, "broken")
        await log.dead_letter(MESSAGES, StoredEvent(1, "messages.send.general", b"y"), "broken")
        assert await log.last_seq(DEAD) == 2


class TestLosses:
    async def test_who_comes_later_hears_of_a_loss_since_a_time_and_of_none_before(self, log: Log) -> None:
        given = await append_messages(log, "general", range(3))
        assert await log.missed_reset(MESSAGES, 0) is None
        before = machine.wall_s() - 60
        newest = await log.get(MESSAGES, given[-1])
        assert newest is not None
        await log.recall(MESSAGES, given[-1] + 50, newest.stored_ns)
        assert await log.missed_reset(MESSAGES, before) == Reset(MESSAGES, newest.stored_ns)
        assert await log.missed_reset(MESSAGES, machine.wall_s() + 60) is None
        assert await log.missed_reset(META, before) is None

    async def test_a_stream_that_went_back_is_numbered_anew(self, log: Log) -> None:
        given = await append_messages(log, "general", range(3))
        before, others = log.numbering(MESSAGES), log.numbering(META)
        newest = await log.get(MESSAGES, given[-1])
        assert newest is not None
        assert (before.begins, log.numbering(MESSAGES)) == (0, before)
        await log.recall(MESSAGES, given[-1] + 50, newest.stored_ns)
        after = log.numbering(MESSAGES)
        assert after.identity not in {before.identity, others.identity}
        assert after.begins > given[-1] + 50
        assert (await append_messages(log, "general", [3]))[0] >= after.begins
        assert log.numbering(META) == others
