"""The promise that who has left is refused: a second later, no gateway lets them read or post."""

from collections.abc import Iterator
from typing import Final

from tests.simulation.evidence import Broken, Evidence
from tests.simulation.timeline import NEVER

REFUSED_AFTER_S: Final = 1.0
"""Seconds after the answer to a leave."""
NOTICED_WITHIN_S: Final = 6.0
"""Seconds after which a gateway has surely noticed that the log went back. Until then it may not know of a leave whose
event was lost."""


def refusals(evidence: Evidence) -> Iterator[Broken]:
    """Every call that was answered and had to be refused.

    Args:
        evidence: of the run.
    """
    for device, known in evidence.known.items():
        user = evidence.plan.devices[device]
        for read in known.reads:
            if (left := left_before(evidence, user, read.channel, read.asked, read.at)) < NEVER:
                about = f"{device} read a history of {read.channel}, which {user} had left at {left:.2f} s"
                yield Broken("refused", f"at {read.at:.2f} s {about}")
    accepted = {entry.about["message"]: entry.at for entry in evidence.history.of("accepted")}
    for entry in evidence.history.of("posts"):
        user, channel, name = entry.about["user"], entry.about["channel"], entry.about["message"]
        at = accepted.get(name, NEVER)
        if at < NEVER and (left := left_before(evidence, user, channel, entry.at, at)) < NEVER:
            yield Broken(
                "refused",
                f"{name} of {user} to {channel} was accepted at {at:.2f} s; {user} had left at {left:.2f} s",
            )


def left_before(evidence: Evidence, user: str, channel: str, asked: float, answered: float) -> float:
    """When a user had left, so that a call had to be refused; `NEVER` if it need not have been."""
    left = evidence.timeline.left(user, channel, asked - REFUSED_AFTER_S, answered)
    lost = evidence.history.of("lost")
    is_unheard = any(left - NOTICED_WITHIN_S < entry.at < left + NOTICED_WITHIN_S for entry in lost)
    return NEVER if is_unheard else left
