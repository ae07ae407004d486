"""Questions that are shared by all who ask before the request is made."""

import asyncio

import pytest

from services.runtime.shared_rounds import SharedRounds


class Server:
    """Answers each request with its number, when it may."""

    def __init__(self) -> None:
        self.requests = 0
        self.may_answer = asyncio.Event()
        self.fails: set[int] = set()
        """The numbers of requests that fail."""
        self.rounds = SharedRounds(self._answer, "asking")

    async def _answer(self) -> int:
        self.requests += 1
        number = self.requests
        await self.may_answer.wait()
        if number in self.fails:
            raise LookupError("no answer")
        return number


async def asking(server: Server, count: int) -> list["asyncio.Task[int]"]:
    tasks = [asyncio.create_task(server.rounds.ask()) for _ in range(count)]
    await asyncio.sleep(0.01)
    return tasks


async def test_who_asks_before_a_request_shares_it_and_who_comes_later_shares_the_next() -> None:
    server = Server()
    first = await asking(server, 3)
    later = await asking(server, 5)
    assert server.requests == 1, "one request at a time"
    server.may_answer.set()
    assert await asyncio.gather(*first) == [1] * 3
    assert await asyncio.gather(*later) == [2] * 5
    assert await server.rounds.ask() == 3


async def test_who_goes_takes_the_answer_from_nobody() -> None:
    server = Server()
    gone, stays = await asking(server, 2)
    gone.cancel()
    server.may_answer.set()
    assert await stays == 1


async def test_all_who_share_a_request_get_its_error_and_the_next_one_is_made() -> None:
    server = Server()
    server.fails = {1}
    tasks = await asking(server, 2)
    later = await asking(server, 1)
    server.may_answer.set()
    for task in tasks:
        with pytest.raises(LookupError):
            await task
    assert await later[0] == 2


async def test_an_error_that_nobody_waits_for_is_not_reported() -> None:
    server = Server()
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    server.fails = {1}
    (task,) = await asking(server, 1)
    task.cancel()
    server.may_answer.set()
    await asyncio.sleep(0.01)
    server.rounds = SharedRounds(server._answer, "asking")
    await asyncio.sleep(0.01)
    assert reported == []
