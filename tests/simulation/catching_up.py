"""How a device catches up: it reads the history of its channels, as `docs/protocol.md` says."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from tests.simulation.known_messages import KnownMessages
from tests.simulation.world import World

PAUSE_S: Final = (0.2, 1.5)
"""The shortest and the longest time before a repeat, and before a device connects again."""
BETWEEN_PAGES_S: Final = (0.1, 6.0)
"""The shortest and the longest time after which a device goes on that does not read the next page at once."""
PAGES: Final = (3, 50, 200)
"""How many messages a device may ask for at a time."""


class Progress:
    """How far a device knows one channel.

    Attributes:
        upto: it has every message up to this `seq`; None where it has not read the channel. The document's `K`.
        is_live: whether what comes over the socket continues what it has.
        period: rises when the socket may miss what was posted before. Then pages that were asked for earlier do not
            say any more what has to be read.
    """

    def __init__(self) -> None:
        self.upto: int | None = None
        self.is_live = False
        self.period = 0
        self._upto_at_opening: int | None = None
        self._end: int | None = None
        self._newest = 0

    def open(self) -> None:
        """A session has opened: what was posted before it is in the history alone."""
        self._upto_at_opening = self.upto
        self._begin_period()

    def refresh(self) -> None:
        """The session may have missed something: what it got does not say that it has everything before."""
        self.upto = self._upto_at_opening
        self._begin_period()

    def forget(self) -> None:
        """The channel is to be read from its beginning."""
        self.upto = self._upto_at_opening = None
        self._begin_period()

    def hear(self, seq: int) -> None:
        """A message has come over the socket."""
        self._newest = seq
        self._join()

    def learn_end(self, period: int, newest: int | None) -> None:
        """A page that was asked for in a period says up to where the log held messages, if it knows: `E`."""
        if self._end is None and period == self.period:
            self._end = newest
            self._join()

    def read(self, after: int, upto: int) -> None:
        """Everything after a `seq` and up to another one was read."""
        if after <= (self.upto or 0):
            self.upto = max(self.upto or 0, upto)
            self._join()

    def _begin_period(self) -> None:
        self.period += 1
        self.is_live = False
        self._end = None

    def _join(self) -> None:
        if self.upto is not None and self._end is not None and self.upto >= self._end:
            self.is_live = True
            self.upto = max(self.upto, self._newest)


class CatchingUp:
    """Reads the channels of a device until nothing is missing between the history and the socket.

    A channel is read if the plan has it, or if the device has heard of it. One that is refused is forgotten, because
    the user is no member; whether that is so is for the checker.

    Args:
        world: has the history.
        device: the name of the device.
        user: of the device.

    Attributes:
        known: the messages that the device knows.
    """

    def __init__(self, world: World, device: str, user: str) -> None:
        self.known = KnownMessages()
        self._world = world
        self._device = device
        self._user = user
        self._channels: dict[str, Progress] = {}
        self._versions: dict[str, int] = {}
        self._due: dict[str, None] = {}
        self._reading: asyncio.Task[None] | None = None
        self._later: asyncio.TimerHandle | None = None

    @property
    def is_done(self) -> bool:
        """Whether nothing is missing, and what comes over the socket continues every channel."""
        return not self._due and all(progress.is_live for progress in self._channels.values())

    def begin(self) -> None:
        """A session has opened: read every channel."""
        self._add_planned()
        for progress in self._channels.values():
            progress.open()
        self._read(self._channels)

    def ask_again(self) -> None:
        """Read the channels in which something may be missing. To be called with each heartbeat."""
        self._read([channel for channel, progress in self._channels.items() if not progress.is_live])

    def end(self) -> None:
        """The session has ended: read no more."""
        self._due.clear()
        for waiting in (self._reading, self._later):
            if waiting is not None:
                waiting.cancel()
        self._reading = self._later = None

    def take(self, frame: dict[str, Any]) -> None:
        """Take a frame of the session."""
        if "message" in frame and "seq" in frame:
            self.known.hear(frame)
        match frame:
            case {"type": "message.new", "channel_id": channel, "seq": seq}:
                if channel not in self._channels:
                    self._add(channel)
                self._channels[channel].hear(seq)
            case {"type": "member.joined" | "member.left", "user_id": self._user}:
                self._change(frame)
            case {"type": "full_refresh_required", "after_ms": after_ms}:
                self._later = self._world.loop.call_later(after_ms / 1_000, self._read_from_the_beginning)
            case {"type": "full_refresh_required"}:
                self._refresh()

    def _change(self, frame: dict[str, Any]) -> None:
        channel, version = frame["channel_id"], frame["version"]
        if version < self._versions.get(channel, 0):
            return
        self._versions[channel] = version
        self._channels.pop(channel, None)
        if frame["type"] == "member.joined":
            self._add(channel)

    def _refresh(self) -> None:
        self._add_planned()
        for progress in self._channels.values():
            progress.refresh()
        self._read(self._channels)

    def _read_from_the_beginning(self) -> None:
        self._add_planned()
        for progress in self._channels.values():
            progress.forget()
        self._read(self._channels)

    def _add_planned(self) -> None:
        for channel in self._world.plan.channels:
            self._channels.setdefault(channel, Progress())

    def _add(self, channel: str) -> None:
        self._channels[channel] = Progress()
        self._read([channel])

    def _read(self, channels: Iterable[str]) -> None:
        self._due |= dict.fromkeys(channels)
        if self._due and (self._reading is None or self._reading.done()):
            self._reading = asyncio.ensure_future(self._read_due())

    async def _read_due(self) -> None:
        while self._due:
            channel = next(iter(self._due))
            del self._due[channel]
            if channel in self._channels:
                await self._read_channel(channel, self._channels[channel])

    async def _read_channel(self, channel: str, progress: Progress) -> None:
        limit = self._world.draw.choice(PAGES)
        if progress.upto is None:
            await self._read_back(channel, progress, limit)
        else:
            await self._read_on(channel, progress, limit, progress.upto)

    async def _read_back(self, channel: str, progress: Progress, limit: int) -> None:
        """Read from the newest message to the oldest. Only then it has everything up to where the first page has it."""
        query: str | None = ""
        upto, below = None, 0
        while query is not None:
            page = await self._page(channel, progress, f"limit={limit}{query}")
            if page is None:
                return
            upto = page["upto_seq"] if upto is None else upto
            query = _cursor(page)
            above = page["messages"][-1]["seq"] - 1 if query else 0
            self._note(channel, page, above, below)
            below = above + 1
        progress.read(0, upto or 0)

    async def _read_on(self, channel: str, progress: Progress, limit: int, after: int) -> None:
        """Read from what it has to the newest message, by the cursors or by how far it has come."""
        query: str | None = f"&after={after}"
        above = after
        while query is not None:
            page = await self._page(channel, progress, f"limit={limit}{query}")
            if page is None:
                return
            self._note(channel, page, above, 0)
            progress.read(after, page["upto_seq"])
            query = _cursor(page)
            if query is not None:
                above = page["messages"][0]["seq"]
                await self._take_time()
                if progress.upto is not None and progress.upto > after and self._world.draw.happens(0.5):
                    above = after = progress.upto
                    query = f"&after={after}"

    async def _take_time(self) -> None:
        """Some devices read on a little later, when the writers have stored more."""
        if self._world.draw.happens(0.3):
            await asyncio.sleep(self._world.draw.between(*BETWEEN_PAGES_S))

    async def _page(self, channel: str, progress: Progress, query: str) -> dict[str, Any] | None:
        """A page of the history; None where it is refused. A call that fails is repeated."""
        while True:
            period, asked = progress.period, self._world.loop.time()
            answer = await self._world.call(self._user, "GET", f"channels.history?channel={channel}&{query}")
            if answer is not None and answer.status == 200:
                progress.learn_end(period, answer.body.get("newest_seq"))
                return answer.body | {"asked": asked}
            if answer is not None and answer.status != 503:
                self._forget(channel, progress, asked, answer.status)
                return None
            await asyncio.sleep(self._world.draw.between(*PAUSE_S))

    def _forget(self, channel: str, progress: Progress, asked: float, status: int) -> None:
        about = {"user": self._user, "channel": channel, "asked": asked, "status": status}
        self._world.note("refused", device=self._device, **about)
        if self._channels.get(channel) is progress:
            del self._channels[channel]

    def _note(self, channel: str, page: dict[str, Any], above: int, below: int) -> None:
        """Note a page, and between which two `seq` it has the messages; 0 for no bound."""
        messages = [[message["seq"], message["client_msg_id"], message["message_id"]] for message in page["messages"]]
        self.known.read(channel, messages)
        about = {"channel": channel, "above": above, "below": below, "upto": page["upto_seq"], "messages": messages}
        about |= {"asked": page["asked"], "newest": page.get("newest_seq")}
        self._world.note("history", device=self._device, **about)


def _cursor(page: dict[str, Any]) -> str | None:
    return f"&cursor={page['cursor']}" if "cursor" in page else None
