"""The promises about threads: who may reply to what, how a reply comes, and what `threads.replies` has."""

from collections.abc import Iterator
from typing import Final

from fanout.streams import MESSAGES
from tests.simulation.evidence import Broken, Evidence, only_in_thread
from tests.simulation.history import Entry
from tests.simulation.pages import FORBIDDEN
from tests.simulation.refusals import left_before
from tests.simulation.timeline import NEVER

_UNKNOWN: Final = 404


def thread_promises(evidence: Evidence) -> Iterator[Broken]:
    """Every promise about threads that is broken.

    Args:
        evidence: of the run.
    """
    yield from _delivered(evidence)
    yield from _accepted(evidence)
    for entry in evidence.history.of("thread"):
        yield from _read(evidence, entry)
        yield from _read_by_a_stranger(evidence, entry)
    yield from _refused(evidence)
    yield from _stored(evidence)


def _delivered(evidence: Evidence) -> Iterator[Broken]:
    """A reply comes as `thread.reply`, or as `message.new` if it was sent to the channel too."""
    messages = evidence.found.messages if evidence.found else {}
    for session in evidence.sessions:
        for at, frame in session.messages():
            message = messages.get(frame["seq"])
            if message is None or message.message_id != frame["message"]["message_id"]:
                continue  # the log has lost it
            kind = "thread.reply" if only_in_thread(message) else "message.new"
            if frame["type"] != kind or frame["message"].get("thread_id") != message.thread_id:
                what = f"{message.client_msg_id} as {frame['type']}, and it is a {kind}"
                yield Broken("threads", f"at {at:.2f} s {session.name} got {what}")


def _accepted(evidence: Evidence) -> Iterator[Broken]:
    """A reply to a message of its channel is not refused as one of an unknown thread, and every other one is."""
    ended = {entry.about["message"]: entry for entry in evidence.history.of("accepted", "not accepted")}
    for entry in evidence.history.of("posts"):
        about = entry.about
        if "thread_id" not in about or (answer := ended.get(about["message"])) is None:
            continue
        what = f"at {answer.at:.2f} s {about['message']}, a reply of {about['user']} to {about['to']}"
        if answer.what == "accepted" and about["astray"]:
            yield Broken("threads", f"{what}, was accepted for {about['channel']}, which has no such thread")
        is_unknown = answer.about.get("status") == _UNKNOWN and not about["astray"]
        if is_unknown and not evidence.has_lost(MESSAGES):
            yield Broken("threads", f"{what}, was refused, as if there were no {about['to']}")


def _read(evidence: Evidence, entry: Entry) -> Iterator[Broken]:
    """Who reads a thread gets each reply up to `upto_seq` once and in order, and how many there are."""
    about = entry.about
    seqs = [seq for seq, _ in about["replies"]]
    what = f"at {entry.at:.2f} s {about['user']} read the thread of {about['thread']} in {about['channel']}"
    held = _replies(evidence, about["thread_id"])
    if sorted(set(seqs)) != seqs:
        yield Broken("threads", f"{what}, and the replies were not each once and in order: {seqs}")
    for seq, name in held.items():
        if seq not in seqs and (seq <= about["upto"] or about["at_rest"]):
            yield Broken(
                "threads", f"{what}, said to be complete up to seq {about['upto']}, without {name} (seq {seq})"
            )
    if evidence.found is None or evidence.has_lost(MESSAGES):
        return  # the message store may have what the log has lost
    least = sum(seq <= about["upto"] or about["at_rest"] for seq in held)
    most = sum(evidence.stored[seq] < entry.at for seq in held)
    if not least <= about["counts"][-1] <= most:
        wrong = f"{about['counts'][-1]} replies, and had {most if least == most else f'{least} to {most}'}"
        yield Broken("threads", f"{what}, which was said to have {wrong}")


def _read_by_a_stranger(evidence: Evidence, entry: Entry) -> Iterator[Broken]:
    about = entry.about
    user, channel = about["user"], about["channel"]
    what = f"at {entry.at:.2f} s {user} read the thread of {about['thread']} in {channel}"
    if evidence.timeline.first(user, channel) > entry.at:
        yield Broken("refused", f"{what}, and never joined it")
    elif (left := left_before(evidence, user, channel, about["asked"], entry.at)) < NEVER:
        yield Broken("refused", f"{what}, which {user} had left at {left:.2f} s")


def _refused(evidence: Evidence) -> Iterator[Broken]:
    """Only who is no member is refused a thread."""
    for entry in evidence.history.of("refused thread"):
        about = entry.about
        is_stranger = about["status"] == FORBIDDEN and not evidence.is_member(
            about["user"], about["channel"], about["asked"], entry.at
        )
        is_lost = about["status"] == _UNKNOWN and evidence.has_lost(MESSAGES)
        if not is_stranger and not is_lost:
            yield Broken(
                "threads",
                f"at {entry.at:.2f} s {about['user']} is refused the thread of {about['thread']} in "
                f"{about['channel']} (status {about['status']})",
            )


def _stored(evidence: Evidence) -> Iterator[Broken]:
    """The message store has each reply that the log holds once, in its thread."""
    if evidence.found is None or evidence.rested == NEVER:
        return
    for thread_id, stored in evidence.found.threads.items():
        names = [reply.client_msg_id for reply in stored]
        for name in _replies(evidence, thread_id).values():
            if names.count(name) != 1 and not (name in names and evidence.has_lost(MESSAGES)):
                yield Broken("store", f"the message store has the reply {name} {names.count(name)} times")


def _replies(evidence: Evidence, thread_id: str) -> dict[int, str]:
    """The name of each reply of a thread that the log holds, by seq."""
    messages = evidence.found.messages if evidence.found else {}
    return {seq: message.client_msg_id or "" for seq, message in messages.items() if message.thread_id == thread_id}
