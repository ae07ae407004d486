"""The checker: the promises of the contract, held against the whole history of a run."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from tests.simulation.caught_up import caught_up
from tests.simulation.completeness import completeness
from tests.simulation.deliveries import deliveries
from tests.simulation.evidence import RECOVERED_S, Broken, Evidence
from tests.simulation.history import History
from tests.simulation.pages import pages
from tests.simulation.plan import Plan
from tests.simulation.receipt_promises import receipt_promises
from tests.simulation.refusals import refusals
from tests.simulation.rest import Found
from tests.simulation.sessions import Session, unopened
from tests.simulation.thread_promises import thread_promises
from tests.simulation.timeline import NEVER
from tests.simulation.unread_promises import unread_promises

TOLD_WITHIN_S: Final = 6.0
"""Seconds after the server is back within which a client is told that the log went back; 2 are promised to a process
that is connected, and a process may have to connect again first."""
_AT_ONCE_S: Final = 1e-3
ALLOWED_FAILURES: Final = ("InstanceReplaced",)
"""Errors with which a process may end: two of one name met."""


def check(plan: Plan, history: History, found: Found | None) -> list[Broken]:
    """Every promise that a history breaks.

    Args:
        plan: of the run.
        history: of the run.
        found: what log and stores hold at the end; None where the run did not come to its end.
    """
    evidence = Evidence(plan, history, found)
    checks = _Checks(evidence)
    return [
        *checks.processes(),
        *checks.errors(),
        *checks.opened(),
        *deliveries(evidence),
        *completeness(evidence),
        *pages(evidence),
        *refusals(evidence),
        *caught_up(evidence),
        *thread_promises(evidence),
        *unread_promises(evidence),
        *receipt_promises(evidence),
        *checks.told(),
        *checks.stored(),
    ]


class _Checks:
    def __init__(self, evidence: Evidence) -> None:
        self._of = evidence

    def processes(self) -> Iterator[Broken]:
        """A process ends only when it is asked to."""
        for entry in self._of.history.of("ended"):
            failure = entry.about["failure"]
            if failure and not failure.startswith(ALLOWED_FAILURES):
                yield Broken("alive", f"at {entry.at:.2f} s {entry.about['process']} ended by itself: {failure}")

    def errors(self) -> Iterator[Broken]:
        """Every error is handled."""
        for entry in self._of.history.of("error"):
            yield Broken("errors", f"at {entry.at:.2f} s {entry.about['process']}: {entry.about['error']}")

    def opened(self) -> Iterator[Broken]:
        """The first frame of a session is `auth.ok`."""
        for entry in unopened(self._of.history):
            device, kind = entry.about["device"], entry.about["frame"]["type"]
            yield Broken("opened", f"at {entry.at:.2f} s {device} got {kind} before auth.ok")

    def told(self) -> Iterator[Broken]:
        """Who is connected while the log loses messages is told: soon if nothing else goes wrong, and in any case."""
        for entry in self._of.history.of("lost"):
            for session in self._of.sessions:
                until = self._told_until(session, entry.at)
                if until is not None and not _is_told(session, entry.at, until):
                    yield Broken(
                        "told",
                        f"at {entry.at:.2f} s the log lost events of {entry.about['stream']}, "
                        f"and {session.name} was not told",
                    )

    def _told_until(self, session: Session, lost: float) -> float | None:
        """Until when a session is to be told of a loss; None where it need not be."""
        if session.opened < lost and session.closed > lost + RECOVERED_S and self._is_alone(lost):
            return self._of.read_again(session.device, lost, TOLD_WITHIN_S) + TOLD_WITHIN_S
        if session.opened < lost and session.closed == NEVER and self._of.rested < NEVER:
            return NEVER
        return None

    def stored(self) -> Iterator[Broken]:
        """Each message is stored once, in the log and in the message store; none that was accepted is lost."""
        found = self._of.found
        if found is None:
            return
        if not self._of.history.of("lost"):  # the log loses the ids of messages with them
            yield from (Broken("once", f"the log holds {name} twice") for name in _repeated(found.held.values()))
        stored = {entry.about["key"] for entry in self._of.history.of("stored")}
        for entry in self._of.history.of("accepted"):
            if entry.about["message"] not in stored:
                yield Broken("accepted", f"{entry.about['message']} was accepted, and the log never stored it")
        if found.dead:
            yield Broken("accepted", f"{found.dead} events are dead letters")
        if self._of.rested < NEVER:
            yield from self._in_the_store(found)

    def _in_the_store(self, found: Found) -> Iterator[Broken]:
        for channel, messages in found.history.items():
            names = [str(message.client_msg_id) for message in messages]
            for name in _repeated(names) if not self._of.history.of("lost") else ():
                yield Broken("store", f"the message store has {name} of {channel} twice")
            for _, name in self._of.in_history(channel):
                if name not in names:
                    yield Broken("store", f"the message store lacks {name} of {channel}, which the log holds")

    def _is_alone(self, at: float) -> bool:
        """Whether nothing but the loss that happens at a time is at work: other faults delay what is told."""
        return self._of.is_calm(at, at + TOLD_WITHIN_S, lambda fault: abs(fault.ended - at) < _AT_ONCE_S)


def _is_told(session: Session, lost: float, until: float) -> bool:
    """Whether a frame until then makes the client read after a loss; it may be one that told of the loss before."""
    told = ((at, frame) for at, frame in session.frames if frame.get("reason") == "log_reset" and at <= until)
    return any(at + frame["after_ms"] / 1_000 > lost for at, frame in told)


def _repeated(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)
