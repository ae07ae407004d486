"""Long work gives the loop to others each time that its slice is over."""

import asyncio

from services.runtime.time_slice import TimeSlice


class Clock:
    """Goes on by a second at each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


async def _turns_of_others(steps: int, seconds: float) -> int:
    """How often the loop came round while work of so many steps was done."""
    turns, done = 0, False

    async def others() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    turn = TimeSlice(seconds, clock=Clock())
    for _ in range(steps):
        await turn.breathe()
    done = True
    await other
    return turns


async def test_others_run_each_time_that_a_slice_is_over() -> None:
    assert await _turns_of_others(1_000, seconds=100.0) in range(9, 21)


async def test_work_within_a_slice_is_not_interrupted() -> None:
    assert await _turns_of_others(1_000, seconds=1_000_000.0) == 0


async def test_pieces_of_work_that_share_a_slice_hold_the_loop_no_longer_than_one() -> None:
    clock = Clock()
    turn = TimeSlice(100.0, clock=clock)
    longest, done = 0.0, False

    async def others() -> None:
        nonlocal longest
        while not done:
            began = clock.now
            await asyncio.sleep(0)
            longest = max(longest, clock.now - began)

    async def piece() -> None:
        for _ in range(500):
            await turn.breathe()

    other = asyncio.create_task(others())
    pieces = 20
    await asyncio.gather(*(piece() for _ in range(pieces)))
    done = True
    await other
    assert longest <= 100 + 2 * pieces


async def test_a_piece_that_is_cancelled_while_it_waits_stops_no_other() -> None:
    turn = TimeSlice(0.0, clock=Clock())
    gone, goes_on = (asyncio.create_task(turn.breathe()) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    turn._seconds = 1_000.0
    async with asyncio.timeout(20):
        await goes_on
    assert gone.cancelled()
