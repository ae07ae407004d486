"""What the server and the streams take at most: refused before it is sent, and no reader ends because of it."""

import asyncio

import pytest

from fanout import subjects
from fanout.errors import TooLarge
from fanout.events import longest_event
from fanout.streams import DEAD, MESSAGES
from services.adapters.nats import api
from tests.support.nats import connected, connected_again, open_log
from tests.support.reading import collect
from tests.support.servers import ConfiguredNats

GENERAL = subjects.message("general")


async def test_an_event_that_a_batch_on_the_server_could_not_carry_is_refused(small_nats: ConfiguredNats) -> None:
    async with connected(small_nats.url) as nc:
        log = await open_log(nc, 1)
        longest = bytes(longest_event(nc.max_payload))
        with pytest.raises(TooLarge):
            await log.append(GENERAL, longest + b"x", msg_id="a")
        assert (await log.append(GENERAL, longest, msg_id="b" * 257)).seq == 1
        assert nc.troubles == {}


async def test_an_event_longer_than_its_stream_takes_is_refused(small_nats: ConfiguredNats) -> None:
    async with connected(small_nats.url) as nc:
        log = await open_log(nc, 1)
        config = (await api.stream_info(nc, MESSAGES))["config"]
        await api.call(nc, f"STREAM.UPDATE.{MESSAGES}", config | {"max_msg_size": 2_000})
        with pytest.raises(TooLarge, match="message size exceeds maximum allowed"):
            await log.append(GENERAL, bytes(2_000), msg_id="a")
        assert (await log.append(GENERAL, bytes(1_000), msg_id="b")).seq == 1


async def test_an_event_from_before_the_limit_fell_is_read_and_its_beginning_kept_with_the_dead(
    small_nats: ConfiguredNats,
) -> None:
    async with connected(small_nats.url) as nc:
        log = await open_log(nc, 1)
        await log.append(GENERAL, b"beginning" + bytes(50_000), msg_id="a")
        await log.append(GENERAL, b"after", msg_id="b")
        small_nats.config = "max_payload: 16KB\n"
        await asyncio.to_thread(small_nats.restart)
        await connected_again(nc)
        consumer = await log.consume(MESSAGES, "reader")
        long, after = await collect(consumer, 2)
        assert (len(long.payload), after.payload) == (50_009, b"after")
        await log.dead_letter(MESSAGES, long, "too long")
        await consumer.close()
        dead = await nc.jsm().get_msg(DEAD, 1)
        assert dead.data is not None
        assert dead.data.startswith(b"beginning")
        assert dead.headers is not None
        assert dead.headers["Fanout-Reason"] == "too long (the first 1024 of its 50009 bytes are kept)"
