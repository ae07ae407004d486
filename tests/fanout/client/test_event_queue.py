"""Events wait for the program, and the connection for room."""

import asyncio

import pytest

from fanout.client import ClientClosed, Pong, Received
from fanout.client.event_queue import EventQueue
from tests.support.following import settle

ONE = Received(Pong(), "1")
TWO = Received(Pong(), "2")


async def test_they_come_in_their_order() -> None:
    queue = EventQueue(10)
    queue.put([ONE, TWO])
    assert [await queue.get(), await queue.get()] == [ONE, TWO]


async def test_the_program_waits_for_the_next() -> None:
    queue = EventQueue(10)
    getting = asyncio.create_task(queue.get())
    await settle()
    assert not getting.done()
    queue.put([ONE])
    assert await getting == ONE


async def test_a_full_queue_asks_to_wait_until_there_is_room() -> None:
    queue = EventQueue(2)
    queue.put([ONE])
    assert not queue.is_full
    queue.put([TWO, ONE])
    assert queue.is_full
    waiting = asyncio.create_task(queue.wait_for_room())
    await queue.get()
    await settle()
    assert not waiting.done()
    await queue.get()
    await waiting
    assert not queue.is_full


async def test_it_ends_after_what_is_left() -> None:
    queue = EventQueue(10)
    queue.put([ONE])
    queue.end(ClientClosed("first"))
    queue.end(ClientClosed("second"))
    assert await queue.get() == ONE
    for _ in range(2):
        with pytest.raises(ClientClosed, match="first"):
            await queue.get()


async def test_it_ends_for_one_who_waits() -> None:
    queue = EventQueue(10)
    getting = asyncio.create_task(queue.get())
    await settle()
    queue.end(ClientClosed("closed"))
    with pytest.raises(ClientClosed):
        await getting
