"""The checker: the promises of the contract, held against the whole history of a run."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from fanout.streams import MESSAGES
from tests.simulation.history import Entry, History
from tests.simulation.plan import Plan
from tests.simulation.rest import Found
from tests.simulation.timeline import NEVER, Timeline

TOLD_WITHIN_S: Final = 6.0
"""Seconds after the server is back within which a client is told that the log went back; 2 are promised to a process
that is connected, and a process may have to connect again first."""
LEFT_WITHIN_S: Final = 6.0
"""Seconds after a leave was answered after which nothing of the channel is delivered, if nothing goes wrong."""
RECOVERED_S: Final = 20.0
"""Seconds after a fault in which its effects may still be seen."""
_AT_ONCE_S: Final = 1e-3
ALLOWED_FAILURES: Final = ("InstanceReplaced",)
"""Errors with which a process may end: two of one name met."""


class Broken(NamedTuple):
    """A promise that was broken."""

    promise: str
    what: str
    """What happened, in the words of the domain."""


@dataclass
class Session:
    """One session of a device, as the device saw it."""

    device: str
    user: str
    instance: str
    opened: float
    closed: float = NEVER
    frames: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def refreshed(self, before: float) -> float:
        """When it was last told, before a time, that it may have missed something; 0 if it was not."""
        told = [at for at, frame in self.frames if frame.get("reason") == "gap" and at < before]
        return max(told, default=0.0)

    @property
    def name(self) -> str:
        """The session, for people."""
        return f"{self.device} on {self.instance} (since {self.opened:.2f} s)"

    def messages(self, channel: str | None = None) -> Iterator[tuple[float, dict[str, Any]]]:
        """The messages that it got, each with its time."""
        for at, frame in self.frames:
            if frame["type"] == "message.new" and channel in (None, frame["channel_id"]):
                yield at, frame


def check(plan: Plan, history: History, found: Found | None) -> list[Broken]:
    """Every promise that a history breaks.

    Args:
        plan: of the run.
        history: of the run.
        found: what log and stores hold at the end; None where the run did not come to its end.
    """
    checks = _Checks(plan, history, found)
    return [
        *checks.processes(),
        *checks.once_and_in_order(),
        *checks.only_what_is_theirs(),
        *checks.only_of_their_channels(),
        *checks.nothing_missed(),
        *checks.heartbeats(),
        *checks.histories(),
        *checks.told(),
        *checks.stored(),
    ]


class _Checks:
    def __init__(self, plan: Plan, history: History, found: Found | None) -> None:
        self._plan = plan
        self._history = history
        self._found = found
        self._sessions = _sessions(history)
        self._timeline = Timeline(plan, history)
        self._faults = _faults(history)
        self._posted = {entry.about["message"]: entry for entry in history.of("posts")}
        self._stored = {
            entry.about["seq"]: entry.at for entry in history.of("stored") if entry.about["stream"] == MESSAGES
        }
        self._rested = max((entry.at for entry in history.of("at rest")), default=NEVER)

    def processes(self) -> Iterator[Broken]:
        """A process ends only when it is asked to."""
        for entry in self._history.of("ended"):
            failure = entry.about["failure"]
            if failure and not failure.startswith(ALLOWED_FAILURES):
                yield Broken("alive", f"at {entry.at:.2f} s {entry.about['process']} ended by itself: {failure}")

    def once_and_in_order(self) -> Iterator[Broken]:
        """A session sees each message once, and the seq of a channel rises."""
        for session in self._sessions:
            seen: set[str] = set()
            newest: dict[str, int] = {}
            for at, frame in session.messages():
                name, channel = frame["message"]["client_msg_id"], frame["channel_id"]
                if name in seen:
                    yield Broken("once", f"at {at:.2f} s {session.name} got {name} a second time")
                if frame["seq"] <= newest.get(channel, 0):
                    yield Broken("order", f"at {at:.2f} s {session.name} got {name} of {channel} out of order")
                seen.add(name)
                newest[channel] = frame["seq"]

    def only_what_is_theirs(self) -> Iterator[Broken]:
        """Nobody gets a message of a channel of which he was never a member, or which he left long before."""
        for session in self._sessions:
            for at, frame in session.messages():
                channel, name = frame["channel_id"], frame["message"]["client_msg_id"]
                left = self._timeline.left(session.user, channel, self._posted[name].at - LEFT_WITHIN_S, at)
                if self._timeline.first(session.user, channel) > at:
                    yield Broken("theirs", f"at {at:.2f} s {session.name} got {name} of {channel}, and never joined it")
                elif left < NEVER and self._is_calm(left, at):
                    yield Broken(
                        "theirs",
                        f"at {at:.2f} s {session.name} got {name} of {channel}, which they left at {left:.2f} s",
                    )

    def only_of_their_channels(self) -> Iterator[Broken]:
        """Nobody hears who types in a channel, or who comes and goes there, and was never a member."""
        for session in self._sessions:
            for at, frame in session.frames:
                if frame["type"] in {"typing", "member.joined", "member.left"}:
                    channel = frame["channel_id"]
                    if self._timeline.first(session.user, channel) > at:
                        yield Broken("theirs", f"at {at:.2f} s {session.name} got {frame['type']} of {channel}")

    def nothing_missed(self) -> Iterator[Broken]:
        """A session misses no message that the log stored after it opened, or after it was told of a gap.

        What was stored before is in the history, which a client reads then.
        """
        if self._found is None:
            return
        for session in self._sessions:
            for channel in sorted(set(self._found.channels.values())):
                yield from self._missed(session, channel)

    def _missed(self, session: Session, channel: str) -> Iterator[Broken]:
        assert self._found is not None
        since = self._since(session, channel)
        begin, until = max(since, session.refreshed(NEVER)), self._timeline.until(session.user, channel, since)
        got = {frame["seq"] for at, frame in session.messages(channel) if at < until}
        newest = max(got, default=0)
        # What is due at last comes at rest; before, only a later message shows that an earlier one was missed.
        waits_for_all = session.closed == NEVER == until and self._rested < NEVER
        for seq, name in self._held_in(channel):
            is_due = begin < self._stored[seq] < until and (seq < newest or waits_for_all)
            if is_due and seq not in got:
                yield Broken(
                    "missed",
                    f"{session.name} never got {name} of {channel} (seq {seq}, stored at {self._stored[seq]:.2f} s), "
                    f"and got {len(got)} others",
                )

    def _held_in(self, channel: str) -> Iterator[tuple[int, str]]:
        """The messages of a channel that the log holds at the end."""
        assert self._found is not None
        for seq, name in self._found.held.items():
            if self._found.channels[seq] == channel:
                yield seq, name

    def heartbeats(self) -> Iterator[Broken]:
        """What `heartbeat.ok` says was delivered was delivered."""
        if self._found is None:
            return
        for session in self._sessions:
            for at, frame in session.frames:
                if frame["type"] == "heartbeat.ok":
                    yield from self._promised(session, at, frame["seq"])

    def _promised(self, session: Session, at: float, upto: int) -> Iterator[Broken]:
        assert self._found is not None
        got = {frame["seq"] for when, frame in session.messages() if when <= at}
        for channel in sorted(set(self._found.channels.values())):
            since = self._since(session, channel)
            begin, until = max(since, session.refreshed(at)), self._timeline.until(session.user, channel, since)
            for seq, name in self._held_in(channel):
                if seq <= upto and seq not in got and begin < self._stored[seq] < at < until:
                    yield Broken(
                        "heartbeat",
                        f"at {at:.2f} s {session.name} was told that all up to {upto} was delivered, "
                        f"and had not got {name} of {channel} (seq {seq})",
                    )

    def histories(self) -> Iterator[Broken]:
        """A page of the history has everything up to its `upto_seq` that the log holds."""
        for entry in self._history.of("history") if self._found else ():
            about = entry.about
            for seq, name in self._held_in(about["channel"]):
                if seq <= about["upto"] and seq not in about["seqs"]:
                    yield Broken(
                        "history",
                        f"at {entry.at:.2f} s {about['device']} read a history of {about['channel']} that is said to "
                        f"be complete up to seq {about['upto']}, and lacks {name} (seq {seq})",
                    )

    def told(self) -> Iterator[Broken]:
        """Who is connected while the log loses messages is told."""
        for entry in self._history.of("lost"):
            for session in self._sessions:
                if session.opened < entry.at and session.closed > entry.at + RECOVERED_S and self._is_alone(entry.at):
                    told = [at for at, frame in session.frames if frame["type"] == "full_refresh_required"]
                    late = self._read_again(session.device, entry.at) + TOLD_WITHIN_S
                    if not any(entry.at <= at <= late for at in told):
                        yield Broken(
                            "told",
                            f"at {entry.at:.2f} s the log lost events of {entry.about['stream']}, "
                            f"and {session.name} was not told",
                        )

    def _read_again(self, device: str, at: float) -> float:
        """When a device that did not read at a time read again; the time itself if it did."""
        for entry in self._history.of("stops reading"):
            if entry.about["device"] == device and entry.at <= at + TOLD_WITHIN_S:
                at = max(at, entry.at + entry.about["seconds"])
        return at

    def stored(self) -> Iterator[Broken]:
        """Each message is stored once, in the log and in the message store; none that was accepted is lost."""
        if self._found is None:
            return
        names = list(self._found.held.values())
        for name in sorted({name for name in names if names.count(name) > 1}):
            if not self._history.of("lost"):  # the log loses the ids of messages with them
                yield Broken("once", f"the log holds {name} twice")
        stored = {entry.about["key"] for entry in self._history.of("stored")}
        for entry in self._history.of("accepted"):
            if entry.about["message"] not in stored:
                yield Broken("accepted", f"{entry.about['message']} was accepted, and the log never stored it")
        if self._found.dead:
            yield Broken("accepted", f"{self._found.dead} events are dead letters")
        if self._rested < NEVER:
            yield from self._in_the_store()

    def _in_the_store(self) -> Iterator[Broken]:
        assert self._found is not None
        for channel, messages in self._found.history.items():
            rows = [(message.seq, message.client_msg_id) for message in messages]
            names = [name for _, name in rows]
            for name in sorted({str(name) for name in names if names.count(name) > 1}):
                if not self._history.of("lost"):
                    yield Broken("store", f"the message store has {name} of {channel} twice")
            known = set(rows)
            for seq, name in self._found.held.items():
                if self._found.channels[seq] == channel and (seq, name) not in known and name not in names:
                    yield Broken("store", f"the message store lacks {name} of {channel}, which the log holds")

    def _since(self, session: Session, channel: str) -> float:
        joined = [
            at
            for at, frame in session.frames
            if frame["type"] == "member.joined" and (frame["channel_id"], frame["user_id"]) == (channel, session.user)
        ]
        return self._timeline.since(session.user, channel, session.opened, joined)

    def _is_alone(self, at: float) -> bool:
        """Whether nothing but the loss that happens at a time is at work: other faults delay what is told."""
        return self._is_calm(at, at + TOLD_WITHIN_S, but=at)

    def _is_calm(self, begin: float, end: float, but: float = -NEVER) -> bool:
        """Whether no fault was at work in a time, nor had been shortly before, except one that ended at `but`."""
        return all(
            stop + RECOVERED_S < begin or start > end for start, stop in self._faults if abs(stop - but) > _AT_ONCE_S
        )


def _faults(history: History) -> list[tuple[float, float]]:
    """When each fault struck, and when it ended."""
    struck: dict[tuple[str, ...], list[float]] = {}
    faults = []
    for entry in history.of("fault", "mended"):
        key = (entry.about["fault"], entry.about["on"], entry.about["to"])
        if entry.what == "fault":
            struck.setdefault(key, []).append(entry.at)
        else:
            faults.append((struck[key].pop(0), entry.at))
    return faults + [(at, NEVER) for times in struck.values() for at in times]


def _sessions(history: History) -> list[Session]:
    sessions: dict[tuple[str, int], Session] = {}
    for entry in history.of("opened", "frame", "closed"):
        about = entry.about
        key = about["device"], about["session"]
        if entry.what == "opened":
            sessions[key] = Session(about["device"], about["user"], about["instance"], entry.at)
        elif key in sessions:
            _continue(sessions[key], entry)
    return list(sessions.values())


def _continue(session: Session, entry: Entry) -> None:
    if entry.what == "closed":
        session.closed = entry.at
    else:
        session.frames.append((entry.at, entry.about["frame"]))
