"""The promises that nothing is missing: to sessions, and by what heartbeats say."""

from collections.abc import Iterator
from typing import Final

from tests.simulation.evidence import Broken, Evidence
from tests.simulation.sessions import Session
from tests.simulation.timeline import NEVER

AT_ONCE_S: Final = 0.5
"""Seconds within which a message is delivered while nothing goes wrong."""


def completeness(evidence: Evidence) -> Iterator[Broken]:
    """Every promise that nothing is missing that is broken.

    Args:
        evidence: of the run.
    """
    checks = _Completeness(evidence)
    yield from checks.nothing_missed()
    yield from checks.timely()
    yield from checks.heartbeats()


class _Completeness:
    def __init__(self, evidence: Evidence) -> None:
        self._of = evidence

    def nothing_missed(self) -> Iterator[Broken]:
        """A session misses no message that the log stored after it opened.

        What was stored before it was told of a gap is in the history, which the device reads then.
        """
        for session in self._of.sessions:
            for channel in self._of.channels():
                yield from self._missed(session, channel)

    def _missed(self, session: Session, channel: str) -> Iterator[Broken]:
        since = self._of.since(session, channel)
        until = self._of.timeline.until(session.user, channel, since)
        got = {frame["seq"] for at, frame in session.messages(channel) if at < until}
        newest = max(got, default=0)
        # What is due at last comes at rest; before, only a later message shows that an earlier one was missed.
        waits_for_all = session.closed == NEVER == until and self._of.rested < NEVER
        for seq, name in self._of.held_in(channel):
            is_due = since < self._of.stored[seq] < until and (seq < newest or waits_for_all)
            if is_due and seq not in got and not self._was_read(session, channel, seq, NEVER):
                others = f"{len(got)} other message{'' if len(got) == 1 else 's'} of {channel}"
                yield Broken(
                    "missed",
                    f"{session.name} never got {name} of {channel} over its socket (seq {seq}, stored at "
                    f"{self._of.stored[seq]:.2f} s), and got {others}",
                )

    def _was_read(self, session: Session, channel: str, seq: int, before: float) -> bool:
        """Whether a session that was told of a gap, before a time, has a device that read a message in the history.

        It need not if it ended, or its user left: whether the device knows the message is seen at rest.
        """
        told = session.refreshed(before)
        if self._of.stored[seq] >= told:
            return False
        left = self._of.timeline.until(session.user, channel, self._of.since(session, channel))
        is_over = session.closed < NEVER or left < NEVER or self._of.rested == NEVER
        if self._of.is_only_in_thread(seq):  # it is in no history; what `threads.replies` has is checked apart
            return True
        # Also before it was told: a device does not read again what it has read to the end.
        return is_over or self._of.known[session.device].was_read(channel, seq, self._of.stored[seq])

    def timely(self) -> Iterator[Broken]:
        """While nothing goes wrong, or only Redis refuses writes, a message that is delivered is delivered at once."""
        if self._of.plan.slow:
            return
        for session in self._of.sessions:
            for channel in self._of.channels():
                since = self._of.since(session, channel)
                until = min(self._of.gone(session), self._of.timeline.until(session.user, channel, since))
                got = {frame["seq"]: at for at, frame in session.messages(channel)}
                for seq, name in self._of.held_in(channel):
                    stored = self._of.stored[seq]
                    late = self._of.read_again(session.device, stored, AT_ONCE_S) + AT_ONCE_S
                    if since < stored and late < got.get(seq, 0.0) < until and self._is_calm(stored):
                        yield Broken(
                            "timely",
                            f"{session.name} got {name} of {channel} (seq {seq}) at {got[seq]:.2f} s, "
                            f"and it was stored at {stored:.2f} s",
                        )

    def _is_calm(self, stored: float) -> bool:
        return self._of.is_calm(stored, stored + AT_ONCE_S, lambda fault: (fault.what, fault.on) == ("refuse", "redis"))

    def heartbeats(self) -> Iterator[Broken]:
        """What `heartbeat.ok` says was delivered was delivered."""
        for session in self._of.sessions:
            for at, frame in session.frames:
                if frame["type"] == "heartbeat.ok":
                    yield from self._promised(session, at, frame["seq"])

    def _promised(self, session: Session, at: float, upto: int) -> Iterator[Broken]:
        got = {frame["seq"] for when, frame in session.messages() if when <= at}
        for channel in self._of.channels():
            since = self._of.since(session, channel)
            until = self._of.timeline.until(session.user, channel, since)
            for seq, name in self._of.held_in(channel):
                is_due = seq <= upto and since < self._of.stored[seq] < at < until
                if is_due and seq not in got and not self._was_read(session, channel, seq, at):
                    yield Broken(
                        "heartbeat",
                        f"at {at:.2f} s {session.name} was told that all up to {upto} was delivered, "
                        f"and had not got {name} of {channel} (seq {seq})",
                    )
