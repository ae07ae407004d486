"""What many users post, reply and read in one run, and whether the stores end up with exactly that."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from fanout.errors import Unavailable
from fanout.ids import new_message_id
from fanout.streams import MESSAGE_WRITER, MESSAGES, RECEIPT_WRITER, RECEIPTS, UNREAD_COUNTER
from tests.support.observing import until
from tests.support.soak import Traffic, progress
from tests.support.store_worlds import StoreWorld, some_at_once

CHANNELS = 40
USERS = 50
MEMBERS = 8
THREADS = 80
SAID_EVERY = 5_000
WITHIN_S = 1_500.0


@dataclass(frozen=True)
class Post:
    """A message that a user is to send."""

    message_id: str
    channel: str
    sender: str
    mentions: tuple[str, ...] = ()
    thread_id: str | None = None
    also: bool = False

    @property
    def in_channel(self) -> bool:
        return self.thread_id is None or self.also


@dataclass(frozen=True)
class Mark:
    """A user is to read a channel, up to what is the newest message then."""

    user: str
    channel: str


@dataclass(frozen=True)
class Read:
    """A member of a channel is to read some message of another one there, which a receipt says."""

    channel: str


Step = Post | Mark | Read


class WholeRun:
    """Posts and reads in random order, and then compares the stores with what was accepted.

    Each kind of step has a plan (`_plan_…`), a way to be done (`_do`), and a check of its own.
    """

    def __init__(self, world: StoreWorld, traffic: Traffic) -> None:
        self._world = world
        self._traffic = traffic
        self._chance = random.Random(23)  # noqa: S311 - the same run each time
        users = [f"user-{number}" for number in range(USERS)]
        self.members = {f"channel-{number}": self._chance.sample(users, MEMBERS) for number in range(CHANNELS)}
        self.accepted: dict[Post, int] = {}
        """The posts, with their `seq`s."""
        self.posts: defaultdict[str, list[Post]] = defaultdict(list)
        """The same, by their channels."""
        self.newest: dict[str, Post] = {}
        """The newest message of each channel that is accepted."""
        self.readers: defaultdict[Post, set[str]] = defaultdict(set)
        """Who has read a message, and so has a receipt of it."""
        self.pointers: defaultdict[tuple[str, str], int] = defaultdict(int)
        """Up to which `seq` a user has read a channel."""

    async def create_channels(self) -> None:
        for channel, members in self.members.items():
            await self._world.create(channel, *members)

    async def post_and_read(self) -> None:
        """Do everything that is planned, many steps at a time."""
        roots = [self._message() for _ in range(THREADS)]
        await some_at_once(map(self._do, roots))
        rest = [*self._plan_messages(roots), *self._plan_marks(), *self._plan_receipts()]
        self._chance.shuffle(rest)
        await some_at_once(map(self._do, rest))

    async def has_accepted(self, messages: int) -> None:
        """Wait until so many messages are accepted."""
        await until(lambda: len(self.accepted) >= messages, f"{messages} accepted messages", WITHIN_S)

    def _message(self, root: Post | None = None) -> Post:
        channel = root.channel if root else self._chance.choice(list(self.members))
        sender, other = self._chance.sample(self.members[channel], 2)
        mentions = (other,) if self._chance.random() < 0.1 else ()
        also = root is not None and self._chance.random() < 0.3
        return Post(new_message_id(), channel, sender, mentions, root.message_id if root else None, also)

    def _plan_messages(self, roots: list[Post]) -> Iterator[Step]:
        for number in range(self._traffic.messages - len(roots)):
            yield self._message(self._chance.choice(roots) if number < self._traffic.replies else None)

    def _plan_marks(self) -> Iterator[Step]:
        for _ in range(self._traffic.marks):
            channel = self._chance.choice(list(self.newest))
            yield Mark(self._chance.choice(self.members[channel]), channel)

    def _plan_receipts(self) -> Iterator[Step]:
        for _ in range(self._traffic.receipts):
            yield Read(self._chance.choice(list(self.newest)))

    async def _do(self, step: Step) -> None:
        match step:
            case Mark():
                await self._mark(step)
            case Read():
                await self._read(step)
            case Post():
                await self._post(step)

    async def _post(self, post: Post) -> None:
        fields: dict[str, object] = {"thread_id": post.thread_id, "also_send_to_channel": post.also}
        more = fields if post.thread_id else {}
        place = await self._world.post(post.channel, post.sender, *post.mentions, message_id=post.message_id, **more)
        self.accepted[post] = place.seq
        self.posts[post.channel].append(post)
        newest = self.newest.setdefault(post.channel, post)
        if post.in_channel and place.seq > self.accepted[newest]:
            self.newest[post.channel] = post
        if len(self.accepted) % SAID_EVERY == 0:
            progress("%s messages are accepted", len(self.accepted))

    async def _read(self, read: Read) -> None:
        """Give a receipt, again until it is taken: while the message store is away no message is found."""
        post, user = self._unread(read.channel)
        self.readers[post].add(user)
        while True:
            with suppress(Unavailable):
                await self._world.client_commands.message_read(user, post.channel, post.message_id)
                return
            await asyncio.sleep(0.2)

    def _unread(self, channel: str) -> tuple[Post, str]:
        """A message that is accepted, and a member who has not read it and did not send it."""
        while True:
            post = self._chance.choice(self.posts[channel])
            others = set(self.members[channel]) - {post.sender} - self.readers[post]
            if others:
                return post, self._chance.choice(sorted(others))

    async def _mark(self, mark: Mark) -> None:
        newest = self.newest[mark.channel]
        try:
            await self._world.client_commands.mark_read(mark.user, mark.channel, newest.message_id)
        except Unavailable:
            return  # nothing is marked while the message store is away
        key = mark.user, mark.channel
        self.pointers[key] = max(self.pointers[key], self.accepted[newest])

    def every_event_came_twice(self) -> None:
        assert len(self.accepted) == self._traffic.messages
        for durable in (MESSAGE_WRITER, UNREAD_COUNTER):
            assert self._world.came_again(MESSAGES, durable) == self._traffic.messages
        assert self._world.came_again(RECEIPTS, RECEIPT_WRITER) >= self._traffic.receipts

    async def rows_are_there_once(self) -> None:
        for channel in self.members:
            expected = self._ids(post for post in self.accepted if post.channel == channel and post.in_channel)
            assert await self._world.history(channel) == expected

    async def receipts_are_there_once(self) -> None:
        assert sum(map(len, self.readers.values())) == self._traffic.receipts
        for post, users in self.readers.items():
            receipts = await self._world.messages.receipts_of(post.channel, post.message_id, USERS)
            assert [receipt.user_id for receipt in receipts] == sorted(users)

    async def reply_counts_are_exact(self) -> None:
        threads = self._by_thread()
        assert sum(map(len, threads.values())) == self._traffic.replies
        for thread_id, posts in threads.items():
            assert await self._world.messages.reply_count(thread_id) == len(posts)
            assert await self._world.replies(thread_id) == self._ids(iter(posts))

    async def unread_counts_are_exact(self) -> None:
        for user in {user for members in self.members.values() for user in members}:
            counts = await self._world.queries.counts(user)
            new = [post for post in self.accepted if user in self.members[post.channel] and self._is_new(user, post)]
            unread: defaultdict[str, int] = defaultdict(int)
            for post in new:
                if post.in_channel and post.sender != user:
                    unread[post.channel] += 1
            assert counts.channels == unread
            assert counts.total == sum(unread.values())
            assert counts.mentions == sum(user in post.mentions for post in new)

    def _is_new(self, user: str, post: Post) -> bool:
        return self.accepted[post] > self.pointers.get((user, post.channel), 0)

    def _by_thread(self) -> dict[str, list[Post]]:
        threads: defaultdict[str, list[Post]] = defaultdict(list)
        for post in self.accepted:
            if post.thread_id is not None:
                threads[post.thread_id].append(post)
        return dict(threads)

    def _ids(self, posts: Iterator[Post]) -> list[str]:
        """The ids of posts in the order of the log."""
        return [post.message_id for post in sorted(posts, key=self.accepted.__getitem__)]
