"""The promises of `channels.history`: what a page has, what it says, and who may read it."""

from collections.abc import Iterator
from typing import Final

from tests.simulation.evidence import Broken, Evidence

FORBIDDEN: Final = 403
"""The status of a call that only members may make."""


def pages(evidence: Evidence) -> Iterator[Broken]:
    """Every promise of the history that is broken.

    Args:
        evidence: of the run.
    """
    yield from _complete(evidence)
    yield from _without_threads(evidence)
    yield from _ends(evidence)
    yield from _refusals(evidence)


def _complete(evidence: Evidence) -> Iterator[Broken]:
    """A page of the history has everything up to its `upto_seq` that the log holds."""
    for device, known in evidence.known.items():
        for read in known.reads:
            for seq, name in evidence.in_history(read.channel):
                if read.covers(seq) and seq not in read.seqs:
                    yield Broken(
                        "history",
                        f"at {read.at:.2f} s {device} read a history of {read.channel} that is said to "
                        f"be complete up to seq {read.upto}, and lacks {name} (seq {seq})",
                    )


def _without_threads(evidence: Evidence) -> Iterator[Broken]:
    """A page of the history has no reply that is in its thread alone."""
    for device, known in evidence.known.items():
        for read in known.reads:
            for seq in sorted(read.seqs):
                if evidence.is_only_in_thread(seq):
                    yield Broken(
                        "history",
                        f"at {read.at:.2f} s {device} read in a history of {read.channel} the reply of seq {seq}, "
                        "which is in its thread alone",
                    )


def _ends(evidence: Evidence) -> Iterator[Broken]:
    """The `newest_seq` of a page covers every message that the log stored before the page was asked for."""
    for device, known in evidence.known.items():
        for read in known.reads:
            for seq, name in evidence.in_history(read.channel):
                if read.newest is not None and seq > read.newest and evidence.stored[seq] < read.asked:
                    yield Broken(
                        "history",
                        f"at {read.at:.2f} s {device} read in a history of {read.channel} that seq {read.newest} "
                        f"is the newest, and {name} (seq {seq}) was stored before {device} asked",
                    )


def _refusals(evidence: Evidence) -> Iterator[Broken]:
    """A member is not refused the history. Nobody is refused it for anything but not being a member."""
    for entry in evidence.history.of("refused"):
        about = entry.about
        if about["status"] != FORBIDDEN or evidence.is_member(
            about["user"], about["channel"], about["asked"], entry.at
        ):
            yield Broken(
                "history",
                f"at {entry.at:.2f} s {about['device']} is refused the history of {about['channel']} "
                f"(status {about['status']})",
            )
