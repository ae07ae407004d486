"""The size of a message that the bus and the streams must take."""

import msgspec
import pytest

from fanout.api.messages import MAX_MENTIONS, SendMessage
from fanout.errors import Unavailable
from fanout.events import MAX_TEXT, longest_event
from fanout.ids import MAX_ID_LENGTH
from fanout.ports.memberships import Channel
from fanout.streams import MESSAGES
from services.adapters.embedded.bus import EmbeddedBus
from services.command.service import CommandService
from services.composition.limits import EVERY_MESSAGE_FITS, look_at_bus
from services.runtime.membership_cache import MembershipCache
from tests.support.faulty import NO_FOLLOWERS, NO_MESSAGES, faulty_log, faulty_memberships


async def test_a_bus_that_does_not_answer_is_a_problem() -> None:
    bus = EmbeddedBus()
    assert (await look_at_bus("embedded", bus)).weak == ()
    await bus.close()
    with pytest.raises(Unavailable):
        await look_at_bus("embedded", bus)


async def test_every_message_that_rest_takes_fits_where_the_check_is_silent() -> None:
    mentions = [f"{number:0{MAX_ID_LENGTH}}" for number in range(MAX_MENTIONS)]
    longest = {
        "channel": "c" * MAX_ID_LENGTH,
        "text": "\x01" * MAX_TEXT,
        "mentions": mentions,
        "attachments": ["x" * (32 * 1024 - 30)],
        "client_msg_id": "c" * 128,
    }
    channel = Channel("c" * MAX_ID_LENGTH, "c", private=False, created_by="a" * MAX_ID_LENGTH, created_at="t")
    async with faulty_log() as log, faulty_memberships() as memberships:
        await memberships.create(channel, ["a" * MAX_ID_LENGTH, *mentions])
        await CommandService(log, memberships, MembershipCache(memberships), NO_MESSAGES, NO_FOLLOWERS).send_message(
            "a" * MAX_ID_LENGTH, msgspec.convert(longest, SendMessage), "i" * 128
        )
        [stored] = await log.stored(MESSAGES)
    assert longest_event(EVERY_MESSAGE_FITS) - 40_000 < len(stored.payload) < longest_event(EVERY_MESSAGE_FITS)
