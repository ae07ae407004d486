"""The evidence: what the history of a run says, in the form in which the promises need it."""

from collections.abc import Callable
from typing import Final, NamedTuple

from fanout.events import Message
from fanout.streams import MESSAGES, META
from tests.simulation.history import History
from tests.simulation.knowledge import knowledge_of
from tests.simulation.plan import Plan
from tests.simulation.rest import Found
from tests.simulation.sessions import Session, sessions_of
from tests.simulation.timeline import NEVER, Timeline

RECOVERED_S: Final = 20.0
"""Seconds after a fault in which its effects may still be seen."""


class Broken(NamedTuple):
    """A promise that was broken."""

    promise: str
    what: str
    """What happened, in the words of the domain."""


class Evidence:
    """What is known of a run.

    Args:
        plan: of the run.
        history: of the run.
        found: what log and stores hold at the end; None where the run did not come to its end.

    Attributes:
        history: of the run.
        found: as above.
        sessions: every session, as its device saw it.
        known: what each device knows at the end.
        timeline: who was a member when.
        posted: when each message was posted, by its name.
        stored: when the log stored each message, by seq.
        rested: when the tier was at rest after the last fault; `NEVER` where it never was.
    """

    def __init__(self, plan: Plan, history: History, found: Found | None) -> None:
        self.history = history
        self.found = found
        self.sessions = sessions_of(history)
        self.known = knowledge_of(history)
        self.plan = plan
        self.timeline = Timeline(plan, history)
        self.posted = {entry.about["message"]: entry.at for entry in history.of("posts")}
        self.stored = {
            entry.about["seq"]: entry.at for entry in history.of("stored") if entry.about["stream"] == MESSAGES
        }
        ended = min((entry.at for entry in history.of("faults ended")), default=NEVER)
        self.rested = min((entry.at for entry in history.of("at rest") if entry.at >= ended), default=NEVER)
        self._faults = _faults(history)
        self._held = _held_in_each(found) if found else {}

    def channels(self) -> list[str]:
        """The channels of which the log holds a message at the end."""
        return sorted(self._held)

    def held_in(self, channel: str) -> list[tuple[int, str]]:
        """Seq and name of each message of a channel that the log holds at the end."""
        return self._held.get(channel, [])

    def in_history(self, channel: str) -> list[tuple[int, str]]:
        """Those of `held_in` that the history of the channel is to have: not the replies that are in threads alone."""
        return [(seq, name) for seq, name in self.held_in(channel) if not self.is_only_in_thread(seq)]

    def is_only_in_thread(self, seq: int) -> bool:
        """Whether the log holds a reply there that is not in the channel."""
        message = self.found.messages.get(seq) if self.found else None
        return message is not None and only_in_thread(message)

    def begins_at(self, user: str, channel: str) -> tuple[int, float]:
        """The lowest and the highest `seq` at which the newest membership of a user may begin.

        A membership begins at the end of the log when its event was published, which is between the call and its
        answer; one that is there from the beginning, before the first message.
        """
        asked, answered = self.timeline.joined(user, channel)
        least = max((seq for seq, at in self.stored.items() if at < asked), default=0)
        if answered == NEVER or self.has_lost(META):
            return least, NEVER
        return least, max((seq for seq, at in self.stored.items() if at <= answered), default=0)

    def has_lost(self, stream: str) -> bool:
        """Whether the log has lost events of a stream."""
        return any(entry.about["stream"] == stream for entry in self.history.of("lost"))

    def since(self, session: Session, channel: str) -> float:
        """From when a session is to get every message of a channel; `NEVER` where that is not certain."""
        return self.timeline.since(session.user, channel, session.admitted, session.joined(channel))

    def is_member(self, user: str, channel: str, begin: float, end: float) -> bool:
        """Whether a user was a member of a channel all through a time, for certain."""
        told = [at for session in self.sessions if session.user == user for at in session.joined(channel)]
        since = self.timeline.since(user, channel, begin, [at for at in told if at <= begin])
        return since <= begin and self.timeline.until(user, channel, since) > end

    def is_calm(self, begin: float, end: float, spare: Callable[["Struck"], bool] = lambda _: False) -> bool:
        """Whether no fault was at work in a time, nor had been shortly before.

        Args:
            begin: of the time.
            end: of the time.
            spare: says which faults do not count.
        """
        return all(fault.ended + RECOVERED_S < begin or fault.began > end for fault in self._faults if not spare(fault))

    def lasts(self, device: str, at: float) -> bool:
        """Whether the session in which a device sent something still lasts. Else what it sent may be lost."""
        return any(
            session.device == device and session.opened <= at and session.closed == NEVER for session in self.sessions
        )

    def gone(self, session: Session) -> float:
        """When a session ended, or its device lost its network, which nobody is told."""
        lost = [
            entry.at
            for entry in self.history.of("loses network")
            if entry.about["device"] == session.device and entry.at >= session.opened
        ]
        return min([session.closed, *lost])

    def read_again(self, device: str, at: float, within_s: float) -> float:
        """When a device read again that stops reading up to `within_s` after a time; else the time itself."""
        for entry in self.history.of("stops reading"):
            if entry.about["device"] == device and entry.at <= at + within_s:
                at = max(at, entry.at + entry.about["seconds"])
        return at


def only_in_thread(message: Message) -> bool:
    """Whether a message is a reply that was not sent to the channel too, said apart from the product."""
    return message.thread_id is not None and not message.also_send_to_channel


class Struck(NamedTuple):
    """A fault of a run."""

    what: str
    on: str
    began: float
    ended: float


def _held_in_each(found: Found) -> dict[str, list[tuple[int, str]]]:
    held: dict[str, list[tuple[int, str]]] = {}
    for seq, name in found.held.items():
        held.setdefault(found.channels[seq], []).append((seq, name))
    return held


def _faults(history: History) -> list[Struck]:
    struck: dict[tuple[str, str, str], list[float]] = {}
    faults = []
    for entry in history.of("fault", "fault ended"):
        key = (entry.about["fault"], entry.about["on"], entry.about["to"])
        if entry.what == "fault":
            struck.setdefault(key, []).append(entry.at)
        else:
            faults.append(Struck(key[0], key[1], struck[key].pop(0), entry.at))
    return faults + [Struck(what, on, at, NEVER) for (what, on, _), times in struck.items() for at in times]
