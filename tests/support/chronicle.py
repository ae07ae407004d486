"""Histories of a simulation that are written by hand, and what log and stores then hold."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from fanout.events import Message, ReceiptRead, StoredMessage
from fanout.ports.unread import ReadPosition
from tests.simulation.checker import check
from tests.simulation.evidence import Broken
from tests.simulation.history import History
from tests.simulation.hosts import VirtualTime
from tests.simulation.plan import Plan, Shape
from tests.simulation.rest import Found

ROOM = "room"
PLAN = Plan(0, Shape(), {"ann-phone": "ann", "bob-phone": "bob", "eve-phone": "eve"}, {ROOM: ["ann", "bob"]}, [], [])
"""Ann and Bob are members of the room from the beginning; Eve is not."""
SLOW: Final = msgspec.structs.replace(PLAN, slow={"worker1 redis": 0.4})
"""The same over a slow connection, so that no message is late."""


class Chronicle:
    """A history, entry by entry. What is written later may have happened before.

    Args:
        plan: of the run.

    Attributes:
        dead: how many dead letters there are at the end.
        rows: of the room in the message store; what the log holds, if nothing else is said.
        pointers: up to where members have read the room; up to nothing, if nothing else is said.
        thread_rows: the names of the replies in the message store; those that the log holds, if nothing else is said.
        receipts: when each reader has read each message, by the receipt store; as by the log, if nothing else is said.
    """

    def __init__(self, plan: Plan = SLOW) -> None:
        self._plan = plan
        self._time = VirtualTime()
        self.history = History(self._time)
        self.dead = 0
        self.rows: list[tuple[int, str]] | None = None
        self.pointers: dict[str, int] = {}
        self.thread_rows: list[str] | None = None
        self.receipts: dict[str, dict[str, str]] | None = None
        self._messages: dict[int, StoredMessage] = {}
        self._read: dict[int, ReceiptRead] = {}
        self._held: dict[int, str] = {}
        self._channels: dict[int, str] = {}
        self._sessions: dict[str, int] = {}
        self._calls = 0

    def note(self, at: float, what: str, **about: Any) -> None:
        self._time.now = at
        self.history.note(what, **about)
        self.history.entries.sort(key=lambda entry: entry.at)

    def opens(self, at: float, device: str = "ann-phone", *, admitted: float | None = None) -> None:
        self._sessions[device] = self._sessions.get(device, 0) + 1
        about = {"device": device, "session": self._sessions[device], "instance": "instance1"}
        self.note(at, "opened", user=PLAN.devices[device], admitted=at if admitted is None else admitted, **about)

    def closes(self, at: float, device: str = "ann-phone") -> None:
        about = {"device": device, "session": self._sessions[device]}
        self.note(at, "closed", code=1000, reason="the user has closed it", **about)

    def posts(self, at: float, name: str, seq: int | None = None, channel: str = ROOM) -> None:
        """A message is posted; with `seq`, it is stored and accepted at once."""
        self.note(at, "posts", user="bob", channel=channel, message=name)
        if seq is not None:
            self.stores(at, name, seq, channel)
            self.accepts(at, name)

    def says(
        self, at: float, name: str, seq: int, *, to: str = "", also: bool = False, mentions: Sequence[str] = ()
    ) -> None:
        """Bob posts a message to the room, or with `to` a reply, which is stored and accepted at once."""
        message = _row(seq, name)
        thread: dict[str, Any] = {"thread_id": f"msg_{to}", "also_send_to_channel": also} if to else {}
        self._messages[seq] = msgspec.structs.replace(message, mentions=list(mentions), **thread)
        about = {"to": to, "thread_id": f"msg_{to}", "also": also, "astray": False} if to else {}
        self.note(at, "posts", user="bob", channel=ROOM, message=name, **about)
        self.stores(at, name, seq)
        self.accepts(at, name)

    def stores(self, at: float, name: str, seq: int, channel: str = ROOM) -> None:
        self.note(at, "stored", stream="MESSAGES", seq=seq, subject=f"messages.send.{channel}", key=name)
        self._held[seq], self._channels[seq] = name, channel

    def receipt(self, at: float, name: str, user: str, seq: int) -> None:
        """The log stores that a user has read a message."""
        self._read[seq] = ReceiptRead(f"evt_{seq}", ROOM, f"msg_{name}", [user], f"{at}")
        about = {"message_id": f"msg_{name}", "read_by": [user]}
        self.note(at, "stored", stream="RECEIPTS", seq=seq, subject=f"receipts.read.{ROOM}", key=f"evt_{seq}", **about)

    def hears_of(self, at: float, seq: int, device: str = "ann-phone", channel: str = ROOM) -> None:
        """A device gets a receipt."""
        event = self._read[seq]
        about = {"event_id": event.event_id, "message_id": event.message_id, "read_by": event.read_by}
        self.frame(at, "receipt.read", device, channel_id=channel, **about)

    def accepts(self, at: float, name: str) -> None:
        self.note(at, "accepted", user="bob", message=name, message_id=f"msg_{name}")

    def frame(self, at: float, kind: str, device: str = "ann-phone", **fields: Any) -> None:
        about = {"device": device, "session": self._sessions[device]}
        self.note(at, "frame", frame={"type": kind, **fields}, **about)

    def gets(
        self, at: float, name: str, seq: int, device: str = "ann-phone", channel: str = ROOM, message_id: str = ""
    ) -> None:
        message = {"client_msg_id": name, "message_id": message_id or f"msg_{name}"}
        self.frame(at, "message.new", device, channel_id=channel, seq=seq, message=message)

    def reads(
        self,
        at: float,
        upto: int,
        *seqs: int,
        device: str = "ann-phone",
        channel: str = ROOM,
        above: int = 0,
        below: int = 0,
        asked: float | None = None,
        newest: int | None = None,
    ) -> None:
        """A device reads a page of the history, which has these seqs and is said to be complete up to a seq."""
        names = [(seq, self._held.get(seq, "lost")) for seq in seqs]
        messages = [[seq, name, f"msg_{name}"] for seq, name in names]
        about = {"channel": channel, "above": above, "below": below, "upto": upto, "messages": messages}
        self.note(at, "history", device=device, asked=at if asked is None else asked, newest=newest, **about)

    def asks(
        self, at: float, to: str, user: str, answered: float | None = None, status: int = 200, channel: str = ROOM
    ) -> None:
        """A user asks for a change of his membership; without `answered` no answer comes."""
        self._calls += 1
        self.note(at, "asks", call=self._calls, to=to, user=user, channel=channel, users=[user])
        if answered is not None:
            self.note(answered, "answered", call=self._calls, status=status, tries=1)

    def fault(self, at: float, until: float, what: str = "cut", on: str = "worker1", to: str = "nats") -> None:
        """A fault strikes and ends, with nothing in between."""
        self.note(at, "fault", fault=what, on=on, to=to, seconds=until - at)
        self.note(until, "fault ended", fault=what, on=on, to=to)

    def loses(self, at: float, *names: str) -> None:
        """The log loses messages."""
        about = {"fault": "lose newest", "on": "nats", "to": "MESSAGES"}
        self.note(at - 0.5, "fault", seconds=0.5, **about)
        self.note(at, "lost", stream="MESSAGES", events=len(names))
        self.note(at, "fault ended", **about)
        for seq in [seq for seq, name in self._held.items() if name in names]:
            del self._held[seq], self._channels[seq]

    def rests(self, at: float, *, caught_up: bool = True) -> None:
        """The tier is at rest. With `caught_up`, every device then reads all that the log holds."""
        self.note(at - 1.0, "faults ended")
        self.note(at, "at rest")
        for device in self._sessions if caught_up else ():
            for channel in sorted(set(self._channels.values())):
                seqs = [seq for seq, its in self._channels.items() if its == channel]
                self.reads(at + 1.0, 0, *seqs, device=device, channel=channel)

    def found(self) -> Found:
        rows = list(self._held.items()) if self.rows is None else self.rows
        page = [_row(seq, name) for seq, name in rows if self._channels.get(seq, ROOM) == ROOM]
        messages: dict[int, Message] = {seq: message for seq, message in self._messages.items() if seq in self._held}
        return Found(
            dict(self._held),
            dict(self._channels),
            self.dead,
            {ROOM: [row for row in page if not _is_only_in_thread(messages.get(row.seq))]},
            {ROOM: ["ann", "bob"]},
            messages,
            self._threads(),
            {(user, ROOM): self._pointer(seq) for user, seq in self.pointers.items()},
            self._receipts() if self.receipts is None else self.receipts,
            self._read,
        )

    def _receipts(self) -> dict[str, dict[str, str]]:
        receipts: dict[str, dict[str, str]] = {}
        for event in self._read.values():
            for user in event.read_by:
                receipts.setdefault(event.message_id, {}).setdefault(user, event.read_at)
        return receipts

    def _threads(self) -> dict[str, list[StoredMessage]]:
        threads: dict[str, list[StoredMessage]] = {}
        for seq, message in self._messages.items():
            if message.thread_id is not None and seq in self._held:
                threads.setdefault(message.thread_id, []).append(message)
        if self.thread_rows is None:
            return threads
        rows = {reply.client_msg_id: reply for replies in threads.values() for reply in replies}
        return {thread: [rows[name] for name in self.thread_rows] for thread in threads}

    def _pointer(self, seq: int) -> ReadPosition:
        return ReadPosition(seq, message_id=self._messages[seq].message_id if seq in self._messages else "")

    def broken(self, *, ended: bool = True) -> list[Broken]:
        return check(self._plan, self.history, self.found() if ended else None)

    def promises(self, *, ended: bool = True) -> list[str]:
        """The promises that are broken."""
        return [broken.promise for broken in self.broken(ended=ended)]


def lived() -> Chronicle:
    """Ann is connected, and three messages were posted and stored; she has got none so far."""
    chronicle = Chronicle()
    chronicle.opens(1.0)
    for seq, name in enumerate(("m1", "m2", "m3"), 1):
        chronicle.posts(1.0 + seq, name, seq)
    return chronicle


def _is_only_in_thread(message: Message | None) -> bool:
    return message is not None and message.thread_id is not None and not message.also_send_to_channel


def _row(seq: int, name: str) -> StoredMessage:
    return StoredMessage(f"msg_{name}", ROOM, "bob", name, "2030-01-01T00:00:00.000Z", seq=seq, client_msg_id=name)
