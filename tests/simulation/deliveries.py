"""The promises about what a session gets: each message once, in order, and only of its user's channels."""

from collections.abc import Iterator
from typing import Final

from tests.simulation.evidence import Broken, Evidence
from tests.simulation.timeline import NEVER

LEFT_WITHIN_S: Final = 6.0
"""Seconds after a leave was answered after which nothing of the channel is delivered, if nothing goes wrong."""


def deliveries(evidence: Evidence) -> Iterator[Broken]:
    """Every promise about what sessions got that is broken.

    Args:
        evidence: of the run.
    """
    checks = _Deliveries(evidence)
    yield from checks.once_and_in_order()
    yield from checks.only_what_is_theirs()
    yield from checks.only_of_their_channels()


class _Deliveries:
    def __init__(self, evidence: Evidence) -> None:
        self._of = evidence

    def once_and_in_order(self) -> Iterator[Broken]:
        """A session sees each message once, and the seq of a channel rises."""
        # A log that lost a message has lost its id too: its repeat by the user is another message.
        identity = "message_id" if self._of.history.of("lost") else "client_msg_id"
        for session in self._of.sessions:
            seen: set[str] = set()
            newest: dict[str, int] = {}
            for at, frame in session.messages():
                name, channel = frame["message"]["client_msg_id"], frame["channel_id"]
                if frame["message"][identity] in seen:
                    yield Broken("once", f"at {at:.2f} s {session.name} got {name} a second time")
                if frame["seq"] <= newest.get(channel, 0):
                    yield Broken("order", f"at {at:.2f} s {session.name} got {name} of {channel} out of order")
                seen.add(frame["message"][identity])
                newest[channel] = frame["seq"]

    def only_what_is_theirs(self) -> Iterator[Broken]:
        """Nobody gets a message of a channel of which he was never a member, or which he left long before."""
        for session in self._of.sessions:
            for at, frame in session.messages():
                channel, name = frame["channel_id"], frame["message"]["client_msg_id"]
                left = self._of.timeline.left(session.user, channel, self._of.posted[name] - LEFT_WITHIN_S, at)
                if self._of.timeline.first(session.user, channel) > at:
                    yield Broken("theirs", f"at {at:.2f} s {session.name} got {name} of {channel}, and never joined it")
                elif left < NEVER and self._of.is_calm(left, at):
                    yield Broken(
                        "theirs",
                        f"at {at:.2f} s {session.name} got {name} of {channel}, which they left at {left:.2f} s",
                    )

    def only_of_their_channels(self) -> Iterator[Broken]:
        """Nobody hears who types in a channel, or who comes and goes there, and was never a member."""
        for session in self._of.sessions:
            for at, frame in session.frames:
                if frame["type"] in {"typing", "member.joined", "member.left"}:
                    channel = frame["channel_id"]
                    if self._of.timeline.first(session.user, channel) > at:
                        yield Broken("theirs", f"at {at:.2f} s {session.name} got {frame['type']} of {channel}")
