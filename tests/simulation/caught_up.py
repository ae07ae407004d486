"""The promise that at rest every device has caught up: it knows each message of its user's channels, once."""

from collections import Counter
from collections.abc import Iterator

from tests.simulation.evidence import Broken, Evidence
from tests.simulation.knowledge import Knowledge
from tests.simulation.sessions import Session
from tests.simulation.timeline import NEVER


def caught_up(evidence: Evidence) -> Iterator[Broken]:
    """Every message that a device which is connected at rest does not know, or has twice.

    Args:
        evidence: of the run.
    """
    if evidence.rested == NEVER:
        return
    for session in evidence.sessions:
        if session.closed == NEVER:
            known = evidence.known[session.device]
            yield from _twice(evidence, session, known)
            for channel in evidence.channels():
                if _is_member(evidence, session, channel) and _has_heard_of(evidence, known, channel):
                    yield from _unknown(evidence, session, channel, known.in_channel(channel))


def _unknown(evidence: Evidence, session: Session, channel: str, known: dict[int, str]) -> Iterator[Broken]:
    for seq, name in evidence.in_history(channel):
        if known.get(seq) != name:
            stored = f"seq {seq}, stored at {evidence.stored[seq]:.2f} s"
            yield Broken("caught up", f"at rest {session.device} does not know {name} of {channel} ({stored})")


def _twice(evidence: Evidence, session: Session, known: Knowledge) -> Iterator[Broken]:
    held = evidence.found.held if evidence.found else {}
    names = [message.message_id for message in known.messages if message.seq in held]
    for message_id, count in Counter(names).items():
        if count > 1:
            yield Broken("caught up", f"at rest {session.device} has {message_id} {count} times")


def _is_member(evidence: Evidence, session: Session, channel: str) -> bool:
    """Whether the user of a session is a member of a channel at rest, for certain."""
    since = evidence.since(session, channel)
    return since < evidence.timeline.until(session.user, channel, since) == NEVER


def _has_heard_of(evidence: Evidence, known: Knowledge, channel: str) -> bool:
    """Whether a device can know that there is a channel: no call says so yet to one that was not connected."""
    return channel in evidence.plan.channels or channel in known.channels
