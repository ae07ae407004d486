"""Gateways whose clocks differ: the order of the log counts, for pages and for what is unread."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import copy_context
from dataclasses import dataclass

import msgspec

from fanout import machine
from fanout.api.history import HistoryRequest
from fanout.api.messages import SendMessage
from fanout.machine import Machine
from fanout.ports.memberships import Channel
from fanout.streams import MESSAGE_WRITER, MESSAGES, UNREAD_COUNTER
from services.command.client_commands import CommandHandlers
from services.command.service import CommandService
from services.composition.reading import client_commands, read_positions, unread_queries
from services.message_writer.unread_counter import running_unread_counter
from services.message_writer.writer import running_writer
from services.query.service import QueryService
from services.query.unread import UnreadQueries
from services.runtime.active_channels import ActiveChannels
from services.runtime.membership_cache import MembershipCache
from tests.support.faulty import (
    FaultyBus,
    FaultyLog,
    FaultyPresence,
    faulty_log,
    faulty_memberships,
    faulty_messages,
    faulty_unread,
)
from tests.support.observing import WITHIN_S, eventually

BEHIND_NS = 300_000_000
MESSAGES_POSTED = 40
REQUEST = msgspec.convert({"channel": "general", "text": "hi"}, SendMessage)


class LateMachine(Machine):
    """Its clock is behind."""

    def wall_ns(self) -> int:
        return super().wall_ns() - BEHIND_NS


@dataclass
class World:
    """The parts of two gateways and a message writer, which share the stores."""

    log: FaultyLog
    gateway: CommandService
    history: QueryService
    unread: UnreadQueries
    marker: CommandHandlers

    def __post_init__(self) -> None:
        self._late = copy_context()
        self._late.run(machine.set_current, LateMachine())

    async def post(self, user: str, *, late: bool) -> str:
        sending = self.gateway.send_message(user, REQUEST, "c")
        task = asyncio.create_task(sending, context=self._late) if late else asyncio.create_task(sending)
        return (await task).message_id

    async def caught_up(self) -> None:
        async def all_of_it() -> bool:
            end = await self.log.last_seq(MESSAGES)
            done = [await self.log.acknowledged(MESSAGES, reader) for reader in (MESSAGE_WRITER, UNREAD_COUNTER)]
            return min(done) >= end

        await eventually(all_of_it, WITHIN_S)

    async def ids_after(self, message_id: str, limit: int) -> list[str]:
        """The oldest messages of the channel after one, oldest first."""
        page = await self.history.history("carol", HistoryRequest("general", after=message_id, limit=limit))
        return [message.message_id for message in page.messages[::-1]]


def _fail(error: BaseException) -> None:
    raise AssertionError from error


@asynccontextmanager
async def opened() -> AsyncIterator[World]:
    """A channel of alice, bob and carol, whose messages are written and counted."""
    async with (
        faulty_log() as log,
        faulty_memberships() as memberships,
        faulty_messages() as messages,
        faulty_unread() as counts,
        running_writer(log, messages, _fail),
        running_unread_counter(log, counts, read_positions(log, messages), _fail),
    ):
        document = Channel("general", "general", private=False, created_by="alice", created_at="t")
        await memberships.create(document, ["alice", "bob", "carol"])
        cache = MembershipCache(memberships)
        yield World(
            log,
            CommandService(log, memberships, cache, messages, memberships),
            QueryService(log, cache, messages, FaultyPresence()),
            unread_queries(log, memberships, messages, counts),
            client_commands(
                log,
                FaultyBus(),
                memberships,
                MembershipCache(memberships),
                messages,
                counts,
                counts,
                ActiveChannels(counts),
            ),
        )


async def test_of_two_gateways_that_post_in_turn_no_message_is_skipped_or_uncounted() -> None:
    async with opened() as world:
        posted = [await world.post("alice", late=False)]
        await world.caught_up()
        seen = [*posted]
        while len(posted) < MESSAGES_POSTED:
            late = len(posted) % 2 == 1
            posted.append(await world.post("bob" if late else "alice", late=late))
            await world.caught_up()
            if len(posted) % 5 == 0:
                seen += await world.ids_after(seen[-1], limit=3)
        while more := await world.ids_after(seen[-1], limit=3):
            seen += more
        assert posted != sorted(posted), "the clocks do not differ"
        assert seen == posted
        for number, message_id in enumerate(posted, 1):
            await world.marker.mark_read("carol", "general", message_id)
            assert (await world.unread.counts("carol")).total == MESSAGES_POSTED - number
