"""Where an embedded adapter gives up the loop: before its effect and after it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.adapters.embedded.suspension import suspending


@suspending
class _Adapter:
    def __init__(self) -> None:
        self.effects: list[str] = []
        self.waiting = ["first", "second"]

    async def write(self, effect: str) -> str:
        self.effects.append(effect)
        return f"{effect} done"

    async def fail(self) -> None:
        raise ValueError("refused")

    async def fetch(self) -> str:
        return self.waiting.pop(0)

    async def read(self) -> AsyncIterator[str]:
        for effect in self.effects:
            yield effect


async def test_another_task_sees_the_state_before_the_effect_and_after_it() -> None:
    adapter, seen = _Adapter(), list[tuple[int, bool]]()
    writing = asyncio.create_task(adapter.write("one"))
    while not writing.done():
        await asyncio.sleep(0)
        seen.append((len(adapter.effects), writing.done()))
    assert seen == [(0, False), (1, False), (1, True)]
    assert writing.result() == "one done"


async def test_calls_made_in_one_turn_take_effect_in_order() -> None:
    adapter = _Adapter()
    await asyncio.gather(*(adapter.write(str(number)) for number in range(20)))
    assert adapter.effects == [str(number) for number in range(20)]


async def test_a_call_that_is_cancelled_at_once_has_no_effect() -> None:
    adapter = _Adapter()
    writing = asyncio.create_task(adapter.write("one"))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert adapter.effects == []


async def test_a_refusal_takes_as_long_as_an_answer() -> None:
    turns = 0
    failing = asyncio.create_task(_Adapter().fail())
    while not failing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns == 3
    assert isinstance(failing.exception(), ValueError)


async def test_a_fetch_that_is_cancelled_has_taken_nothing() -> None:
    adapter = _Adapter()
    for turns in range(3):
        fetching = asyncio.create_task(adapter.fetch())
        for _ in range(turns):
            await asyncio.sleep(0)
        fetching.cancel()
        await asyncio.wait([fetching])
        assert fetching.cancelled() == (adapter.waiting == ["first", "second"])


async def test_reading_item_by_item_gives_up_the_loop_first() -> None:
    adapter = _Adapter()
    adapter.effects.append("one")
    items, turns = list[str](), 0

    async def read() -> None:
        items.extend([item async for item in adapter.read()])

    reading = asyncio.create_task(read())
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
    assert (items, turns) == (["one"], 2)
