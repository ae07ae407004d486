"""Requests of asyncio to the Cassandra driver, whose answers come on a thread of its own.

The callbacks of the driver append to a deque and wake the event loop once; everything else happens on the loop.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final, NamedTuple, Protocol

from fanout.errors import Unavailable

MAX_IN_FLIGHT: Final = 256
"""Far below the 32,768 stream ids of a connection: when they are all taken, the driver blocks its caller."""
_SENT_IN_A_ROW: Final = 16
"""Requests that are encoded before other tasks get a turn."""

Rows = list[tuple[Any, ...]]


class Request(NamedTuple):
    """A statement and its parameters."""

    statement: Any
    parameters: tuple[Any, ...] | None = None


class _Pending(Protocol):
    def add_callbacks(
        self, callback: Any, errback: Any, callback_args: tuple[Any, ...], errback_args: tuple[Any, ...]
    ) -> None: ...


class Session(Protocol):
    """The part of the driver's session that is used here."""

    def execute_async(self, query: Any, parameters: Any = None) -> _Pending:
        """Send a request. Its callbacks run on the driver's thread, or at once."""
        ...


class _Answer(NamedTuple):
    rows: Rows
    error: Exception | None = None


class Bridge:
    """Executes statements for the event loop that makes it. It never blocks that loop.

    The number of requests in flight is bounded. A request that was sent holds its place until the driver reports its
    result or its timeout, also when its caller was cancelled.

    Args:
        session: of the driver. It must not fetch further pages by itself, so each statement has a LIMIT.
        patience_s: seconds to wait for a place among the requests in flight.
        max_in_flight: the number of these places.
    """

    def __init__(self, session: Session, *, patience_s: float, max_in_flight: int = MAX_IN_FLIGHT) -> None:
        self._session = session
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        self._places = asyncio.Semaphore(max_in_flight)
        self._answers: deque[tuple[asyncio.Future[_Answer], _Answer]] = deque()
        self._awake = False
        self.in_flight = 0
        """Requests that were sent and not answered."""

    async def execute(self, statement: Any, *parameters: Any) -> Rows:
        """Execute one statement.

        Returns:
            the rows of its result.

        Raises:
            Unavailable: too many requests are in flight, and none of them ended in time.
            Exception: what the driver reports.
        """
        return (await self.execute_all([Request(statement, parameters or None)]))[0]

    async def execute_all(self, requests: Iterable[Request]) -> list[Rows]:
        """Execute statements in parallel. The call returns or raises when all that were sent are answered.

        Returns:
            the rows of each, in the order of the requests.

        Raises:
            Unavailable, Exception: as `execute`; the first error in the order of the requests.
        """
        sent: list[asyncio.Future[_Answer]] = []
        try:
            for number, request in enumerate(requests, 1):
                sent.append(await self._send(request))
                if number % _SENT_IN_A_ROW == 0:
                    await asyncio.sleep(0)
            answers = await asyncio.gather(*sent)
        finally:
            for future in sent:
                future.cancel()
        for answer in answers:
            if answer.error is not None:
                raise answer.error
        return [answer.rows for answer in answers]

    async def _send(self, request: Request) -> asyncio.Future[_Answer]:
        await self._take_place()
        future: asyncio.Future[_Answer] = self._loop.create_future()
        try:
            pending = self._session.execute_async(request.statement, request.parameters)
            pending.add_callbacks(self._answered, self._failed, callback_args=(future,), errback_args=(future,))
        except BaseException:
            self._give_place_back()
            raise
        return future

    async def _take_place(self) -> None:
        if self._places.locked():
            try:
                async with asyncio.timeout(self._patience_s):
                    await self._places.acquire()
            except TimeoutError:
                raise Unavailable(f"Cassandra has answered none of {self.in_flight} requests in time") from None
        else:
            await self._places.acquire()
        self.in_flight += 1

    def _give_place_back(self) -> None:
        self.in_flight -= 1
        self._places.release()

    # On the driver's thread, where an exception would skip the driver's own work after the callback.

    def _answered(self, rows: Rows | None, future: asyncio.Future[_Answer]) -> None:
        self._hand_over(future, _Answer(rows or []))

    def _failed(self, error: Exception, future: asyncio.Future[_Answer]) -> None:
        self._hand_over(future, _Answer([], error))

    def _hand_over(self, future: asyncio.Future[_Answer], answer: _Answer) -> None:
        self._answers.append((future, answer))
        if not self._awake:
            self._awake = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._drain)

    # On the loop.

    def _drain(self) -> None:
        self._awake = False  # first: an answer that comes from now on wakes the loop again
        while self._answers:
            future, answer = self._answers.popleft()
            self._give_place_back()
            if not future.done():
                future.set_result(answer)
