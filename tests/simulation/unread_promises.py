"""The promises about what is unread: a plain recount of the log, held against what users were told at rest."""

from collections.abc import Iterator, Mapping
from typing import Any

from fanout.events import Message
from fanout.ports.unread import ReadPosition
from fanout.streams import MESSAGES
from fanout.subjects import channel_of
from tests.simulation.evidence import Broken, Evidence, only_in_thread
from tests.simulation.history import Entry
from tests.simulation.rest import Found
from tests.simulation.timeline import NEVER


def unread_promises(evidence: Evidence) -> Iterator[Broken]:
    """Every promise about unread messages and read pointers that is broken.

    Args:
        evidence: of the run.
    """
    yield from _only_rise(evidence)
    yield from _refused_marks(evidence)
    if evidence.found is None or not evidence.history.of("last looks"):
        return
    checks = _AtRest(evidence, evidence.found)
    counts = {entry.about["user"]: entry for entry in evidence.history.of("counts")}
    for entry in evidence.history.of("lists"):
        if entry.about["at_rest"]:
            yield from checks.listed(entry)
            if (counted := counts.get(entry.about["user"])) is not None:
                yield from checks.counted(entry, counted)
    yield from checks.marked()


class _AtRest:
    """What users are told at rest.

    Args:
        evidence: of the run.
        found: what the log and the stores hold.
    """

    def __init__(self, evidence: Evidence, found: Found) -> None:
        self._of = evidence
        self._found = found
        self._is_exact = not evidence.has_lost(MESSAGES)
        """The counts may have what the log has lost."""

    def listed(self, entry: Entry) -> Iterator[Broken]:
        """`channels.list` has the channels of the user, each with its unread messages, its pointer and its newest."""
        user = entry.about["user"]
        told = {channel: about for channel, *about in entry.about["channels"]}
        own = sorted(channel for channel, members in self._found.members.items() if user in members)
        if (known := sorted(told.keys() & self._found.members.keys())) != own:
            yield Broken("unread", f"at rest {user} is in {_names(own)}, and is told of {_names(known)}")
        for channel in set(own) & set(known):
            unread, last_read_id, latest_id = told[channel]
            yield from self._recounted(user, channel, unread)
            yield from self._pointed(user, channel, last_read_id)
            if self._is_exact and latest_id != self._newest(channel):
                yield Broken("unread", f"at rest {user} is told that {latest_id} is the newest message of {channel}")

    def counted(self, listed: Entry, counted: Entry) -> Iterator[Broken]:
        """`unread.counts` says the same, and sums it up."""
        user, counts = counted.about["user"], counted.about
        told = {channel: unread for channel, unread, *_ in listed.about["channels"] if unread}
        if told != counts["channels"]:
            yield Broken(
                "unread", f"at rest {user} is told of {told} unread by one call, by another {counts['channels']}"
            )
        if counts["total"] != sum(counts["channels"].values()):
            yield Broken(
                "unread", f"at rest {user} is told of {counts['total']} unread in all, of {counts['channels']}"
            )
        channels = [channel for channel, *_ in listed.about["channels"]]
        mentions = sum(self._mentions(user, channel) for channel in channels)
        if self._is_wrong(counts["mentions"], mentions, mentions):
            yield Broken("unread", f"at rest {user} is told of {counts['mentions']} mentions, and has {mentions}")

    def marked(self) -> Iterator[Broken]:
        """What was marked as read at rest is read."""
        begin = min(entry.at for entry in self._of.history.of("last marks"))
        for entry in self._of.history.of("marks read"):
            about = entry.about
            pointer = self._pointer(about["user"], about["channel"])
            is_refused = about["elsewhere"] or about["seq"] not in self._found.messages
            if entry.at < begin or is_refused or pointer is None or not self._of.lasts(about["device"], entry.at):
                continue
            if pointer.seq < about["seq"]:
                what = f"at rest {about['device']} marked {about['message']} of {about['channel']} as read"
                yield Broken("unread", f"{what} (seq {about['seq']}), and the pointer is at seq {pointer.seq}")

    def _recounted(self, user: str, channel: str, told: int) -> Iterator[Broken]:
        pointer = self._pointer(user, channel) or ReadPosition()
        unread = [
            message.client_msg_id
            for _, message in self._after(channel, pointer.seq)
            if not only_in_thread(message) and message.sender_id != user
        ]
        # A pointer may count what its user marked before it was counted. If the log then lost it, fewer are unread.
        if self._is_wrong(told, len(unread), len(unread) - self._lost(channel, pointer.seq)):
            what = f"at rest {user} is told of {told} unread in {channel}, and has {len(unread)}: {_names(unread)}"
            yield Broken("unread", f"{what} (pointer at seq {pointer.seq})")

    def _pointed(self, user: str, channel: str, last_read_id: str | None) -> Iterator[Broken]:
        """The pointer is where the user is told, and is at a message that the user marked, or at that of a join."""
        pointer = self._pointer(user, channel) or ReadPosition()
        what = f"at rest {user} has read {channel} up to seq {pointer.seq}"
        if (last_read_id or "") != pointer.message_id:
            yield Broken("unread", f"{what}, and is told that it is read up to {last_read_id}")
        marks = [mark.about for mark in self._of.history.of("marks read") if mark.about["user"] == user]
        own = {mark["seq"] for mark in marks if mark["channel"] == channel and not mark["elsewhere"]}
        if not self._is_exact or pointer.seq in own:
            return
        least, most = self._of.begins_at(user, channel)
        if not least <= pointer.seq <= most:
            bounds = f"{least} to {most}" if most < NEVER else f"{least} or more"
            yield Broken("unread", f"{what}, and marked {sorted(own)}; the membership begins at {bounds}")
        if last_read_id != (newest := self._newest(channel, pointer.seq)):
            yield Broken("unread", f"{what}, and is told that it is read up to {last_read_id}, not {newest}")

    def _after(self, channel: str, seq: int) -> Iterator[tuple[int, Message]]:
        """The messages of a channel after a position."""
        for at, message in self._found.messages.items():
            if message.channel_id == channel and at > seq:
                yield at, message

    def _newest(self, channel: str, upto: float = NEVER) -> str | None:
        """The newest message of a channel up to a position."""
        found = [message for seq, message in self._after(channel, 0) if seq <= upto and not only_in_thread(message)]
        return found[-1].message_id if found else None

    def _mentions(self, user: str, channel: str) -> int:
        pointer = self._pointer(user, channel) or ReadPosition()
        return sum(user in (message.mentions or ()) for _, message in self._after(channel, pointer.seq))

    def _pointer(self, user: str, channel: str) -> ReadPosition | None:
        return self._found.pointers.get((user, channel))

    def _lost(self, channel: str, upto: int) -> int:
        """How many messages of a channel the log has lost up to a position."""
        stored = [entry.about for entry in self._of.history.of("stored") if entry.about["stream"] == MESSAGES]
        seqs = [about["seq"] for about in stored if channel_of(about["subject"]) == channel]
        return sum(seq <= upto and seq not in self._found.messages for seq in seqs)

    def _is_wrong(self, told: int, recounted: int, least: int) -> bool:
        return told != recounted if self._is_exact else told < least


def _only_rise(evidence: Evidence) -> Iterator[Broken]:
    """Of two lists of a user's channels, the later one has no lower read pointer, as long as the user stays.

    It may name an older message and be higher: a pointer at a reply that is in its thread alone may rise to a place at
    which the newest message of the channel is one before that reply.
    """
    messages = evidence.found.messages if evidence.found else {}
    seqs = {message.message_id: seq for seq, message in messages.items()}
    read: dict[tuple[str, str], tuple[float, int]] = {}
    for entry in evidence.history.of("lists"):
        user = entry.about["user"]
        for channel, _, last_read_id, _ in entry.about["channels"]:
            at, before = read.get((user, channel), (0.0, 0))
            seq = seqs.get(last_read_id or "", 0)
            stayed = evidence.timeline.until(user, channel, 0.0) > entry.at
            is_certain = stayed and at < entry.about["asked"] and not evidence.has_lost(MESSAGES)
            if is_certain and _has_between(messages, channel, seq, before):
                what = f"{user} had read {channel} up to seq {before} at {at:.2f} s"
                yield Broken("unread", f"{what}, and up to seq {seq} at {entry.at:.2f} s")
            read[user, channel] = entry.at, seq


def _has_between(messages: Mapping[int, Message], channel: str, after: int, upto: int) -> bool:
    """Whether a channel has a message after a position and up to another, replies in threads alone left out."""
    between = (message for seq, message in messages.items() if after < seq <= upto and message.channel_id == channel)
    return any(not only_in_thread(message) for message in between)


def _refused_marks(evidence: Evidence) -> Iterator[Broken]:
    """A mark is refused for a reason: its user is no member, or the message is of another channel."""
    marks = evidence.history.of("marks read")
    for session in evidence.sessions:
        for at, frame in session.frames:
            if frame["type"] != "error" or frame.get("offending_type") != "mark_read":
                continue
            own = [
                mark.about
                for mark in marks
                if mark.about["device"] == session.device and session.opened <= mark.at < at
            ]
            if not any(_may_be_refused(evidence, mark, session.admitted, at, frame["code"]) for mark in own):
                yield Broken("unread", f"at {at:.2f} s {session.name} was refused a mark: {frame['code']}")


def _may_be_refused(evidence: Evidence, mark: dict[str, Any], begin: float, end: float, code: str) -> bool:
    match code:
        case "not_a_member":
            return not evidence.is_member(mark["user"], mark["channel"], begin, end)
        case "unknown_message":
            return mark["elsewhere"] or evidence.has_lost(MESSAGES)
    return code == "unavailable"


def _names(names: list[Any]) -> str:
    return ", ".join(map(str, names)) or "none"
