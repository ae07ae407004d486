"""Links: the connections between processes and servers, which delay, lose and break."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from fanout import machine
from fanout.errors import OutcomeUnknown, Unavailable
from tests.simulation.hosts import HOST, Draw, Host

TIMEOUT_S: Final = 2.0
"""Seconds after which a call that got no answer fails."""
SILENCE_S: Final = 4.0
"""Seconds of silence after which a client takes its connection for broken."""
USUAL_S: Final = (0.0002, 0.002)
"""The shortest and the longest usual time from one end to the other."""
AT_ONCE: Final = (0.0, 0.0)

Refuse = Callable[[str], Exception | None]
"""By a method's name: the error with which a server refuses it now."""


class Link:
    """The connection of one process to one server. What is sent one way arrives in the order in which it was sent.

    Args:
        loop: of the simulation.
        draw: the chance of the run.
        client: the process.
        server: the server.
        reconnects_in: the shortest and the longest time in seconds after which the client is connected again when the
            server can be reached again.

    Attributes:
        slowness: seconds that are added to each way.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        draw: Draw,
        client: Host,
        server: Host,
        reconnects_in: tuple[float, float] = AT_ONCE,
    ) -> None:
        self.client = client
        self.server = server
        self.slowness = 0.0
        self._loop = loop
        self._draw = draw
        self._cuts = 0
        self._stalls = 0
        self._arrivals = [0.0, 0.0]
        self._connection = 0
        self._dropped = -1
        """The newest broken connection of which something was lost on its way to the server: what followed is lost."""
        self._reconnects_in = reconnects_in
        self._stalled_at = 0.0
        self._on_mended: list[Callable[[], None]] = []
        self._on_cut: dict[Callable[[], None], None] = {}
        self._held: list[tuple[bool, Callable[[], None]]] = []
        self._unanswered: dict[asyncio.Future[Any], None] = {}
        self._waiting_there: dict[asyncio.Future[Any], asyncio.Task[Any]] = {}

    @property
    def is_cut(self) -> bool:
        """Whether there is no connection, and the client knows it."""
        return self._cuts > 0

    @property
    def is_silent(self) -> bool:
        """Whether nothing arrives."""
        return self._cuts > 0 or self._stalls > 0

    def on_cut(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` each time that the connection breaks; the function returned ends that."""
        self._on_cut[listener] = None
        return partial(self._on_cut.pop, listener, None)

    def on_mended(self, listener: Callable[[], None]) -> None:
        """Call `listener` each time that the client is connected again."""
        self._on_mended.append(listener)

    @property
    def arrived_until(self) -> float:
        """The time until which everything that was sent has arrived, if the connection breaks now."""
        silent = self._stalled_at if self._stalls else self._loop.time()
        return silent - self.slowness - USUAL_S[1]

    def cut(self) -> None:
        """Break the connection, until `repair` is called as often.

        What was not answered fails. Of what is under way to the server, the first part may still arrive.
        """
        self._cuts += 1
        self._connection += 1
        self._held.clear()
        for reply in list(self._unanswered):
            if not reply.done():
                self._loop.call_soon(_fail, reply, context=self.client.context)
        self._unanswered.clear()
        for task in list(self._waiting_there.values()):
            self._loop.call_soon(task.cancel, context=self.server.context)
        for listener in list(self._on_cut):
            listener()

    def repair(self) -> None:
        """End one cut. The client is connected again a moment later."""
        if self._reconnects_in == AT_ONCE:
            self._mended()
        else:
            wait = self._draw.between(*self._reconnects_in)
            self._loop.call_later(wait, self._mended, context=self.client.context)

    def _mended(self) -> None:
        self._cuts -= 1
        if not self._cuts:
            for listener in list(self._on_mended):
                listener()

    def stall(self) -> None:
        """Let nothing arrive, until `flow` is called as often. A client that hears nothing for long breaks it off."""
        if not self._stalls:
            self._stalled_at = self._loop.time()
        self._stalls += 1

    def flow(self) -> None:
        """End one stall: what was held arrives."""
        self._stalls -= 1
        if not self._stalls:
            held, self._held = self._held, []
            for forth, deliver in held:
                self.carry(deliver, forth=forth)

    def carry(self, deliver: Callable[[], None], *, forth: bool) -> None:
        """Call `deliver` at the other end when it arrives there, or never.

        Args:
            deliver: what happens there.
            forth: from the process to the server; else from the server to the process.
        """
        if self._cuts:
            return
        if self._stalls:
            self._held.append((forth, deliver))
            return
        delay = self.slowness + self._draw.between(*USUAL_S)
        at = self._arrivals[forth] = max(self._arrivals[forth], self._loop.time() + delay)
        context = self.server.context if forth else self.client.context
        self._loop.call_at(at, self._arrive, self._connection, deliver, forth, context=context)

    def _arrive(self, connection: int, deliver: Callable[[], None], forth: bool) -> None:  # noqa: FBT001
        if connection == self._connection or (forth and self._still_arrives(connection)):
            if self._stalls:
                self._held.append((forth, deliver))
            else:
                deliver()

    def _still_arrives(self, connection: int) -> bool:
        """Whether the next of what a broken connection carried arrives. Nothing arrives after what was lost of it."""
        if connection <= self._dropped:
            return False
        if self._draw.happens(0.5):
            return True
        self._dropped = connection
        return False

    async def call(
        self, work: Callable[[], Awaitable[Any]], what: str, *, patient: bool = False, as_client: bool = False
    ) -> Any:
        """Have the server do something, and return its answer.

        Args:
            work: what it does.
            what: its name.
            patient: wait for the answer however long it takes, as long as the connection is there.
            as_client: the server works by the clock of the process, as a library inside it would.

        Raises:
            Unavailable: there is no connection.
            OutcomeUnknown: no answer came.
        """
        if self._cuts:
            await asyncio.sleep(self._draw.between(*USUAL_S))
            raise Unavailable(f"no connection to {self.server.name} for {what}")
        reply: asyncio.Future[Any] = self._loop.create_future()
        of = HOST.get().machine if as_client else None
        self.carry(partial(self._serve, work, reply, of, patient), forth=True)
        self._unanswered[reply] = None
        timer = self._loop.call_later(SILENCE_S if patient else TIMEOUT_S, self._expire, reply, patient)
        try:
            return await reply
        finally:
            timer.cancel()
            self._unanswered.pop(reply, None)
            if reply.cancelled():
                self.carry(partial(self._give_up, reply), forth=True)

    def _expire(self, reply: "asyncio.Future[Any]", patient: bool) -> None:  # noqa: FBT001
        if reply.done():
            return
        if patient and not self._stalls and not self.server.paused:
            timer = self._loop.call_later(SILENCE_S, self._expire, reply, patient)
            reply.add_done_callback(lambda _: timer.cancel())
            return
        _fail(reply)

    def _serve(
        self,
        work: Callable[[], Awaitable[Any]],
        reply: "asyncio.Future[Any]",
        of: machine.Machine | None,
        patient: bool,  # noqa: FBT001
    ) -> None:
        task = self._loop.create_task(_done(work, of), name="serving")
        task.add_done_callback(partial(self._answer, reply, self._connection))
        if patient:
            self._waiting_there[reply] = task
            task.add_done_callback(lambda _: self._waiting_there.pop(reply, None))

    def _give_up(self, reply: "asyncio.Future[Any]") -> None:
        """The process waits no more for an answer."""
        if (task := self._waiting_there.get(reply)) is not None:
            task.cancel()

    def _answer(self, reply: "asyncio.Future[Any]", connection: int, task: "asyncio.Task[Any]") -> None:
        if task.cancelled():
            return
        task.exception()  # an error is an answer like any other, also if it does not arrive
        if connection == self._connection:
            self.carry(partial(_settle, reply, task), forth=False)


async def _done(work: Callable[[], Awaitable[Any]], of: machine.Machine | None) -> Any:
    if of is not None:
        machine.set_current(of)
    return await work()


@contextmanager
def no_more_is_known() -> Iterator[None]:
    """Raise `Unavailable` alone for a call whose outcome is unknown, as adapters do whose calls may be done twice."""
    try:
        yield
    except OutcomeUnknown as error:
        raise Unavailable(str(error)) from error


def _fail(reply: "asyncio.Future[Any]") -> None:
    if not reply.done():
        reply.set_exception(OutcomeUnknown("the connection broke, or no answer came"))


def _settle(reply: "asyncio.Future[Any]", task: "asyncio.Task[Any]") -> None:
    error = task.exception()
    if reply.done():
        return
    if error is not None:
        reply.set_exception(error)
    else:
        reply.set_result(task.result())


class Linked:
    """An object of a server, as a process reaches it: each call goes over a link.

    Args:
        link: to the server.
        target: the object.
        refuse: says which methods the server refuses now.
        as_client: see `Link.call`.
    """

    def __init__(self, link: Link, target: Any, refuse: Refuse, *, as_client: bool = False) -> None:
        self._link = link
        self._target = target
        self._refuse = refuse
        self._as_client = as_client

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._target, name)

        async def work(*args: Any, **options: Any) -> Any:
            if (refusal := self._refuse(name)) is not None:
                raise refusal
            return await method(*args, **options)

        async def call(*args: Any, **options: Any) -> Any:
            return await self._reach(partial(work, *args, **options), name)

        setattr(self, name, call)
        return call

    async def _reach(self, work: Callable[[], Awaitable[Any]], name: str) -> Any:
        return await self._link.call(work, name, as_client=self._as_client)
