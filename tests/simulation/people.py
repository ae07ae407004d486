"""People: what users and their devices do, as a client that follows the protocol does it."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from tests.simulation.calls import call_until_answered
from tests.simulation.catching_up import PAUSE_S, CatchingUp
from tests.simulation.conversations import Conversations, Reply
from tests.simulation.plan import CHANGES, Action
from tests.simulation.processes import HEARTBEAT_S
from tests.simulation.sockets import Wire
from tests.simulation.world import World

GIVES_UP_AFTER_S: Final = 2.5 * HEARTBEAT_S
"""Seconds without a frame after which a device takes its connection for dead."""


class Device:
    """A device of a user. While it wants to be connected, it connects again after each end.

    Attributes:
        wanted: whether it is to be connected.
        session: the number of its session that is open; None while none is.
        catching_up: reads the history for it.
    """

    def __init__(self, world: World, name: str, user: str, number: int) -> None:
        self.name = name
        self.user = user
        self.wanted = False
        self.session: int | None = None
        self.catching_up = CatchingUp(world, name, user)
        self.device_id = f"dev_desktop_{number:026d}"
        self._world = world
        self._wire: Wire | None = None
        self._closed = asyncio.Event()
        self._network = asyncio.Event()
        self._network.set()
        self._reads = True
        self._heard_at = 0.0
        self._sessions = 0
        self._living: asyncio.Task[None] | None = None

    @property
    def instance(self) -> str:
        """The instance of its session."""
        return self._wire.socket._wire._server.name if self._wire is not None else ""

    def connect(self) -> None:
        """Be connected from now on."""
        self.wanted = True
        if self._living is None or self._living.done():
            self._living = asyncio.ensure_future(self._live())

    def disconnect(self) -> None:
        """Close the connection, and stay away."""
        self.wanted = False
        if self._wire is not None:
            self._wire.hang_up()
        self._end(1000, "the user has closed it")

    def send(self, kind: str, **fields: Any) -> None:
        """Send a frame, if a session is open."""
        if self._wire is not None and self.session is not None:
            self._wire.send(kind, **fields)

    def mark_read(self, channel: str, nth: int = 0, *, elsewhere: bool = False) -> None:
        """Mark a channel as read up to a message that it knows, and give a receipt of it, if a session is open.

        Args:
            channel: which one.
            nth: the message, counted from the newest one.
            elsewhere: whether the message is to be one of another channel.
        """
        known = self.catching_up.known
        message = known.elsewhere(channel, nth) if elsewhere else known.in_channel(channel, nth)
        if self.session is not None and message is not None:
            about = {"message": message.name, "message_id": message.message_id, "seq": message.seq}
            about |= {"device": self.name, "session": self.session, "user": self.user, "channel": channel}
            self._world.note("marks read", **about, elsewhere=elsewhere)
            for kind in ("mark_read", "message.read"):
                self.send(kind, channel_id=channel, message_id=message.message_id)

    async def lose_network(self, seconds: float) -> None:
        """Have no network for a while. Nobody is told."""
        self._world.note("loses network", device=self.name, seconds=round(seconds, 2))
        self._network.clear()
        if self._wire is not None:
            self._wire.go_silent()
        await asyncio.sleep(seconds)
        self._end(1006, "the network was gone")
        self._network.set()

    async def stop_reading(self, seconds: float) -> None:
        """Read nothing for a while."""
        self._world.note("stops reading", device=self.name, seconds=round(seconds, 2))
        self._reads = False
        if (wire := self._wire) is not None:
            wire.read(reading=False)
        await asyncio.sleep(seconds)
        self._reads = True
        if (wire := self._wire) is not None:
            wire.read(reading=True)

    def heal(self) -> None:
        """Read again, and have a network again."""
        self._network.set()
        self._reads = True
        if self._wire is not None:
            self._wire.read(reading=True)

    async def _live(self) -> None:
        while self.wanted:
            await self._network.wait()
            answer = await self._world.call(self.user, "GET", "realtime.connect")
            if answer is not None and answer.status == 200 and self._open(answer.body["url"]):
                await self._attend()
            await asyncio.sleep(self._world.draw.between(*PAUSE_S))

    def _open(self, url: str) -> bool:
        if not self.wanted or not self._network.is_set():
            return False
        self._closed.clear()
        number = self._sessions + 1
        self._wire = self._world.connect(
            url,
            lambda frame: self._take(number, frame),
            lambda code, reason: self._end(code, reason, number),
        )
        if self._wire is None:
            return False
        self._sessions = number
        self._heard_at = self._world.loop.time()
        self._wire.read(reading=self._reads)
        self._wire.send("auth", token=self.user, device_id=self.device_id)
        return True

    async def _attend(self) -> None:
        """Send heartbeats until the connection ends, or is taken for dead."""
        while not self._closed.is_set():
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._closed.wait()
            except TimeoutError:
                if self._world.loop.time() - self._heard_at > GIVES_UP_AFTER_S and self._reads:
                    if self._wire is not None:
                        self._wire.hang_up()
                    self._end(1006, "nothing was heard for long")
                else:
                    self._beat()

    def _beat(self) -> None:
        if self.session is not None:
            self.send("heartbeat")
            self.catching_up.ask_again()

    def _take(self, number: int, frame: dict[str, Any]) -> None:
        if number != self._sessions or self._wire is None:
            return
        self._heard_at = self._world.loop.time()
        if frame["type"] == "auth.ok":
            self.session = number
            about = {"device": self.name, "session": number, "user": self.user, "instance": self.instance}
            self._world.note("opened", **about, admitted=self._wire.written_at)
            self.catching_up.begin()
        else:
            self._world.note("frame", device=self.name, session=number, frame=frame)
            if self.session is not None:
                self.catching_up.take(frame)

    def _end(self, code: int, reason: str, number: int = 0) -> None:
        if self._wire is None or number not in (0, self._sessions):
            return
        if self.session is not None:
            self._world.note("closed", device=self.name, session=self.session, code=code, reason=reason)
            self.catching_up.end()
        self._wire, self.session = None, None
        self._closed.set()


class People:
    """All users, who do what the plan says.

    Args:
        world: where they live.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.devices = {
            name: Device(world, name, user, number) for number, (name, user) in enumerate(world.plan.devices.items(), 1)
        }
        self.conversations = Conversations(world)
        self._posts = 0
        self._calls = 0

    async def act(self, action: Action) -> None:
        """Do what an action says, until it is done."""
        if action.who in self.devices:
            await self._act_on(self.devices[action.who], action)
        elif action.what in CHANGES:
            await self._change(action)
        else:
            await self._converse(action)

    async def _act_on(self, device: Device, action: Action) -> None:
        match action.what:
            case "connect":
                device.connect()
            case "disconnect":
                device.disconnect()
            case "lose network":
                await device.lose_network(action.seconds)
            case "stop reading":
                await device.stop_reading(action.seconds)
            case "type":
                device.send("typing.start", channel_id=action.channel)
            case "mark" | "mark elsewhere":
                device.mark_read(action.channel, action.nth, elsewhere=action.what != "mark")

    async def _converse(self, action: Action) -> None:
        match action.what:
            case "post":
                await self.post(action.who, action.channel, action.length, mentions=action.mentions)
            case "list":
                await self.conversations.list_channels(action.who)
            case "read thread":
                await self.conversations.read_thread_of(action)
            case _:
                if (reply := self.conversations.reply(action)) is not None:
                    await self.post(action.who, action.channel, action.length, reply, action.mentions)

    async def post(
        self, user: str, channel: str, length: int = 0, reply: Reply | None = None, mentions: Sequence[str] = ()
    ) -> str:
        """Post a message, and repeat it until it is accepted or refused. Returns its name."""
        self._posts += 1
        name = f"m{self._posts}"
        more: dict[str, Any] = {"mentions": list(mentions)} if mentions else {}
        body = {"channel": channel, "text": f"{name} {'x' * length}", "client_msg_id": name, **more}
        if reply is not None:
            body |= reply.fields()
            more |= reply.about()
        self._world.note("posts", user=user, channel=channel, message=name, **more)
        answer, _ = await call_until_answered(self._world, user, "POST", "chat.sendMessage", body)
        if answer is not None and answer.status == 202:
            message_id = answer.body["message_id"]
            self._world.note("accepted", user=user, message=name, message_id=message_id)
            self.conversations.accept(channel, name, message_id, reply)
        else:
            self._world.note("not accepted", user=user, message=name, status=answer.status if answer else 0)
        return name

    async def _change(self, action: Action) -> None:
        """Change a membership, and repeat the call until it is answered."""
        self._calls += 1
        call, channel = self._calls, action.channel
        body: dict[str, Any] = {"channel": channel}
        if action.what == "create":
            body = {"channel_id": channel, "name": channel, "members": [action.whom]}
        elif action.what in {"invite", "remove"}:
            body["user_ids"] = [action.whom]
        users = sorted({action.whom, action.who} if action.what == "create" else {action.whom or action.who})
        self._world.note("asks", call=call, to=action.what, user=action.who, channel=channel, users=users)
        answer, tries = await call_until_answered(self._world, action.who, "POST", f"channels.{action.what}", body)
        self._world.note("answered", call=call, status=answer.status if answer else 0, tries=tries)
