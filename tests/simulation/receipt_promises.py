"""The promises about read receipts: who gets them, and what the receipt store has at rest."""

from collections.abc import Iterator
from typing import Any

from fanout.events import ReceiptRead
from fanout.streams import MESSAGES, RECEIPTS
from tests.simulation.evidence import Broken, Evidence
from tests.simulation.rest import Found
from tests.simulation.sessions import Session
from tests.simulation.timeline import NEVER


def receipt_promises(evidence: Evidence) -> Iterator[Broken]:
    """Every promise about receipts that is broken.

    Args:
        evidence: of the run.
    """
    yield from _only_theirs(evidence)
    if evidence.found is None or evidence.rested == NEVER:
        return
    checks = _AtRest(evidence, evidence.found)
    yield from checks.of_others()
    yield from checks.stored()
    yield from checks.given()
    yield from checks.delivered()


def _only_theirs(evidence: Evidence) -> Iterator[Broken]:
    """Nobody gets a receipt of a channel of which they never were a member."""
    for session in evidence.sessions:
        for at, frame in _receipts_of(session):
            if evidence.timeline.first(session.user, frame["channel_id"]) > at:
                yield Broken("theirs", f"at {at:.2f} s {session.name} got a receipt of {frame['channel_id']}")


class _AtRest:
    """What is so when everything has been handled.

    Args:
        evidence: of the run.
        found: what the log and the stores hold.
    """

    def __init__(self, evidence: Evidence, found: Found) -> None:
        self._of = evidence
        self._found = found
        self._names = {message.message_id: message.client_msg_id for message in found.messages.values()}
        self._senders = {message.message_id: message.sender_id for message in found.messages.values()}

    def of_others(self) -> Iterator[Broken]:
        """There is no receipt of one's own message."""
        for event in self._found.read.values():
            if self._senders.get(event.message_id) in event.read_by:
                yield Broken("receipts", f"the log holds a receipt of {event.read_by} of their own message")

    def stored(self) -> Iterator[Broken]:
        """The store has each receipt that the log holds, and of several of one reader the first one."""
        first: dict[tuple[str, str], str] = {}
        for event in self._found.read.values():
            for user in event.read_by:
                key = event.message_id, user
                first[key] = min(event.read_at, first.get(key, event.read_at))
        for (message_id, user), read_at in first.items():
            stored = self._found.receipts[message_id].get(user)
            may_be_older = self._of.has_lost(RECEIPTS) and stored is not None
            if stored != read_at and not may_be_older:
                what = f"{user} read {self._names.get(message_id)} at {read_at} by the log"
                yield Broken("receipts", f"{what}, and by the receipt store {stored or 'never'}")

    def given(self) -> Iterator[Broken]:
        """What a device has read at rest is a receipt in the log."""
        held = {(event.message_id, user) for event in self._found.read.values() for user in event.read_by}
        begin = min((entry.at for entry in self._of.history.of("last marks")), default=NEVER)
        for entry in self._of.history.of("marks read"):
            about = entry.about
            if (
                entry.at < begin
                or about["elsewhere"]
                or not self._is_another_s(about)
                or not self._of.lasts(about["device"], entry.at)
            ):
                continue
            is_given = (about["message_id"], about["user"]) in held
            if not is_given and self._of.is_member(about["user"], about["channel"], entry.at, entry.at):
                yield Broken("receipts", f"at rest {about['device']} has read {about['message']}, without a receipt")

    def delivered(self) -> Iterator[Broken]:
        """A session that lasts gets each receipt that the log has stored since it opened.

        Nothing is certain where an instance has passed over a gap: devices do not ask `messages.receipts`.
        """
        if self._of.history.of("passed over"):
            return
        stored = {
            entry.about["seq"]: entry.at for entry in self._of.history.of("stored") if entry.about["stream"] == RECEIPTS
        }
        for session in self._of.sessions:
            if session.closed < NEVER or self._of.has_lost(RECEIPTS) or self._of.has_lost(MESSAGES):
                continue
            got = {frame["event_id"] for _, frame in _receipts_of(session)}
            for seq, event in self._found.read.items():
                if event.event_id not in got and self._is_due(session, event, stored[seq]):
                    what = f"{session.name} did not get that {event.read_by} read {self._names.get(event.message_id)}"
                    yield Broken("receipts", f"{what} in {event.channel_id} (stored at {stored[seq]:.2f} s)")

    def _is_due(self, session: Session, event: ReceiptRead, at: float) -> bool:
        since = self._of.since(session, event.channel_id)
        until = self._of.timeline.until(session.user, event.channel_id, since)
        return max(since, session.refreshed(NEVER)) < at and until == NEVER

    def _is_another_s(self, about: dict[str, Any]) -> bool:
        sender = self._senders.get(about["message_id"])
        return sender is not None and sender != about["user"]


def _receipts_of(session: Session) -> Iterator[tuple[float, dict[str, Any]]]:
    return ((at, frame) for at, frame in session.frames if frame["type"] == "receipt.read")
