"""Shared rounds: many callers ask the same question, and share one request that begins after they asked."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class SharedRounds(Generic[_T]):
    """Asks a question for all who want the answer.

    A request that is under way is of no use to who comes later: it may have been answered already, and what has changed
    since would be missing. So who comes meanwhile shares the next one.

    Args:
        question: makes a request.
        name: of the tasks that ask.
    """

    def __init__(self, question: Callable[[], Awaitable[_T]], name: str) -> None:
        self._question = question
        self._name = name
        self._asking: asyncio.Task[_T] | None = None
        self._next: asyncio.Task[_T] | None = None

    async def ask(self) -> _T:
        """The answer to a request that began after this call.

        Raises:
            Exception: what the request raised.
        """
        if self._next is None or self._next.done():
            self._next = asyncio.create_task(self._ask_after(self._asking), name=self._name)
            self._next.add_done_callback(_retrieve)  # all who asked may have gone
        return await asyncio.shield(self._next)

    async def _ask_after(self, earlier: "asyncio.Task[_T] | None") -> _T:
        if earlier is not None:
            await asyncio.wait((earlier,))
        self._asking, self._next = self._next, None
        return await self._question()


def _retrieve(answered: "asyncio.Task[_T]") -> None:
    if not answered.cancelled():
        answered.exception()
