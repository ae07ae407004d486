"""Conversations: users reply to messages, read threads, and look at what they have not read."""

from typing import Any, Final, NamedTuple

from tests.simulation.calls import UNAVAILABLE, call_until_answered
from tests.simulation.plan import Action
from tests.simulation.world import Answer, World

PAGES: Final = (2, 50)
"""How many channels or replies a user may ask for at a time."""
OK: Final = 200


class Accepted(NamedTuple):
    """A message that was accepted."""

    channel: str
    name: str
    message_id: str
    is_reply: bool


class Reply(NamedTuple):
    """What makes a message a reply."""

    to: Accepted
    also: bool
    """Whether it is sent to the channel too."""
    astray: bool
    """Whether it has to be refused, because the message is of another channel or a reply itself."""

    def fields(self) -> dict[str, Any]:
        """The fields of the call."""
        return {"thread_id": self.to.message_id, "also_send_to_channel": self.also}

    def about(self) -> dict[str, Any]:
        """What the history notes of it."""
        return {"to": self.to.name, "thread_id": self.to.message_id, "also": self.also, "astray": self.astray}


class Conversations:
    """The messages that were accepted, and what users do with them.

    Args:
        world: where they live.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._accepted: list[Accepted] = []
        self._roots: dict[str, Accepted] = {}

    @property
    def roots(self) -> list[Accepted]:
        """The first message of each thread that has a reply."""
        return list(self._roots.values())

    def accept(self, channel: str, name: str, message_id: str, reply: Reply | None) -> None:
        """A message was accepted."""
        self._accepted.append(Accepted(channel, name, message_id, reply is not None))
        if reply is not None:
            self._roots[reply.to.message_id] = reply.to

    def reply(self, action: Action) -> Reply | None:
        """To which message an action replies; None if there is none."""
        own = [each for each in self._accepted if each.channel == action.channel]
        match action.what:
            case "reply elsewhere":
                found = [each for each in self._accepted if each.channel != action.channel and not each.is_reply]
            case "reply to a reply":
                found = [each for each in own if each.is_reply]
            case _:
                found = [each for each in own if not each.is_reply]
        chosen = _nth(found, action.nth)
        return None if chosen is None else Reply(chosen, action.also, action.what != "reply")

    async def read_thread_of(self, action: Action) -> None:
        """Read the thread of a channel that an action says, if there is one."""
        root = _nth([root for root in self.roots if root.channel == action.channel], action.nth)
        if root is not None:
            await self.read_thread(action.who, root)

    async def read_thread(self, user: str, root: Accepted, *, at_rest: bool = False) -> None:
        """Read a thread from its first reply to its newest one, in pages."""
        asked, of = self._world.loop.time(), {"thread": root.name, "thread_id": root.message_id}
        about: dict[str, Any] = {"user": user, "channel": root.channel, "asked": asked, **of}
        answer, pages = await self._pages(user, f"threads.replies?thread_id={root.message_id}")
        if answer is not None and answer.status not in {OK, UNAVAILABLE}:
            self._world.note("refused thread", **about, status=answer.status)
        elif answer is not None and answer.status == OK:
            replies = [[reply["seq"], reply["client_msg_id"]] for page in pages for reply in page["replies"]]
            about |= {"replies": replies, "counts": [page["reply_count"] for page in pages]}
            self._world.note("thread", **about, upto=pages[-1]["upto_seq"], at_rest=at_rest)

    async def list_channels(self, user: str, *, at_rest: bool = False) -> None:
        """List the channels of a user, in pages."""
        asked = self._world.loop.time()
        answer, pages = await self._pages(user, "channels.list?")
        if answer is not None and answer.status == OK:
            channels = [_listed(channel) for page in pages for channel in page["channels"]]
            self._world.note("lists", user=user, asked=asked, channels=channels, at_rest=at_rest)

    async def count_unread(self, user: str) -> None:
        """Ask what a user has not read."""
        asked = self._world.loop.time()
        answer, _ = await call_until_answered(self._world, user, "GET", "unread.counts")
        if answer is not None and answer.status == OK:
            self._world.note("counts", user=user, asked=asked, **answer.body)

    async def _pages(self, user: str, path: str) -> tuple[Answer | None, list[dict[str, Any]]]:
        """Every page of a call, and the last answer."""
        limit, pages, cursor = self._world.draw.choice(PAGES), list[dict[str, Any]](), ""
        while True:
            answer, _ = await call_until_answered(self._world, user, "GET", f"{path}&limit={limit}{cursor}")
            if answer is None or answer.status != OK:
                return answer, pages
            pages.append(answer.body)
            if "cursor" not in answer.body:
                return answer, pages
            cursor = f"&cursor={answer.body['cursor']}"


def _listed(channel: dict[str, Any]) -> list[Any]:
    return [channel["channel_id"], channel["unread"], channel["last_read_id"], channel["latest_message_id"]]


def _nth(messages: list[Accepted], nth: int) -> Accepted | None:
    """A message, counted from the newest one."""
    return messages[-1 - nth % len(messages)] if messages else None
