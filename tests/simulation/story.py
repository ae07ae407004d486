"""Stories: what happened in a run, told in the words of the domain, for people who have not seen the code."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from heapq import merge
from typing import Any, Final

from fanout.streams import META, RECEIPTS
from tests.simulation.conversation_sentences import CONVERSATION_SENTENCES, FRAME_SENTENCES
from tests.simulation.fault_sentences import STREAMS, fault_begins, fault_ends
from tests.simulation.focus import Focus
from tests.simulation.history import Entry
from tests.simulation.plan import Plan
from tests.simulation.repeats import Line, collapsed, grouped
from tests.simulation.run import Outcome
from tests.simulation.timeline import NEVER
from tests.simulation.trace_sentences import TRACE_SENTENCES, listed
from tests.simulation.words import words_of

_MESSAGE_ID: Final = re.compile(r"\bmsg_\w+")


def story(outcome: Outcome) -> str:
    """The story of a run. It tells what the processes did inside only if the run was traced.

    Args:
        outcome: of the run.
    """
    focus = Focus(outcome.plan, outcome.history, outcome.broken)
    lines = [line.text for line in collapsed(_lines(outcome, focus))]
    lines += ["", "What was promised and does not hold:" if outcome.broken else "Every promise holds."]
    lines += [f"  {text}" for text in grouped(outcome.broken)]
    lines += _wrong(outcome, focus)
    words = [f"  {line}." for line in words_of("\n".join(lines))]
    return "\n".join([*_beginning(outcome.plan), "", *(["Words:", *words, ""] if words else []), *lines])


def _lines(outcome: Outcome, focus: Focus) -> Iterator[Line]:
    """What happened, an entry each, in order; of the trace what concerns the promises that are broken."""
    names = {entry.about["message_id"]: entry.about["message"] for entry in outcome.history.of("accepted")}
    traced, changes = list(_traced(outcome, focus)), outcome.trace.changes if outcome.trace else {}
    for entry in merge(_with_names(outcome.history.entries, changes), traced, key=lambda entry: entry.at):
        if text := _told(entry):
            yield Line(
                f"{entry.at:8.3f} s  {_MESSAGE_ID.sub(lambda found: names.get(found[0], found[0]), text)}", entry
            )


def _traced(outcome: Outcome, focus: Focus) -> Iterator[Entry]:
    started = _started(outcome)
    for entry in outcome.trace.entries if outcome.trace else ():
        if focus.has(entry.about["of"]) and (entry.at > started or entry.what == "begins to read"):
            yield entry


def _started(outcome: Outcome) -> float:
    """When the tier was at rest for the first time; 0 if it never was. How it starts is told in short."""
    return min((entry.at for entry in outcome.history.of("at rest")), default=0.0)


def _with_names(entries: list[Entry], changes: dict[int, str]) -> Iterator[Entry]:
    """The entries of a history; those of the log with the names of what it stores and loses."""
    held: defaultdict[str, list[str]] = defaultdict(list)
    for entry in entries:
        about = entry.about
        if entry.what == "stored":
            change = changes.get(about["seq"], "") if about["stream"] == META else ""
            name = f"{change or about['key']} (seq {about['seq']})"
            held[about["stream"]].append(name)
            yield entry._replace(about={**about, "change": change})
        elif entry.what == "lost":
            count, names = about["events"], held[about["stream"]]
            lost = names[len(names) - count :]
            del names[len(names) - count :]
            yield entry._replace(about={**about, "names": lost})
        else:
            yield entry


def _wrong(outcome: Outcome, focus: Focus) -> Iterator[str]:
    """Where tables were wrong, and since when."""
    started, every = _started(outcome), outcome.trace.wrong if outcome.trace else []
    wrong = [wrong for wrong in every if focus.has(wrong.of) and wrong.until > started]
    if wrong:
        yield ""
        yield "What the tables had wrong for more than a second, and since when:"
    for found in wrong:
        until = "to the end" if found.until == NEVER else f"to {found.until:.3f} s"
        yield f"  from {found.since:.3f} s {until}: {found.what}"


def _beginning(plan: Plan) -> Iterator[str]:
    shape = plan.shape
    counts = [
        _count(shape.gateways, "gateway"),
        _count(shape.workers, "fan-out worker"),
        _count(shape.instances, "notification instance"),
        _count(shape.writers, "message writer"),
    ]
    of = f"{', '.join(counts)} and {_count(shape.writers, 'receipt writer')}"
    snapshots = ", with snapshots" if shape.snapshots else ""
    yield f"Seed {plan.seed}. A tier of {of}; {_count(shape.partitions, 'partition')}{snapshots}."
    for channel, members in plan.channels.items():
        yield f"{', '.join(sorted(members))} are members of {channel}."
    for link, seconds in plan.slow.items():
        yield f"{link.replace(' ', ' reaches ')} slowly: each way takes {seconds:.2g} s longer."


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _told(entry: Entry) -> str:
    """An entry as a sentence; empty for one that explains nothing."""
    tell = _SENTENCES.get(entry.what) or TRACE_SENTENCES.get(entry.what)
    return tell(entry.about) if tell else ""


def _frame(about: dict[str, Any]) -> str:
    frame, device = about["frame"], about["device"]
    match frame["type"]:
        case "message.new":
            return f"{device} gets {frame['message']['client_msg_id']} of {frame['channel_id']} (seq {frame['seq']})"
        case "heartbeat.ok":
            return f"{device} is told that everything up to seq {frame['seq']} was delivered to it"
        case "member.joined" | "member.left" as what:
            return f"{device} hears that {frame['user_id']} {what.partition('.')[2]} {frame['channel_id']}"
        case "full_refresh_required":
            why = "the log went back" if frame["reason"] == "log_reset" else "something may have been missed"
            return f"{device} is told to read its channels again: {why}"
        case other:
            return FRAME_SENTENCES[other](about) if other in FRAME_SENTENCES else f"{device} gets {other}"


def _asks(about: dict[str, Any]) -> str:
    others = [user for user in about["users"] if user != about["user"]]
    way = {"invite": "to", "remove": "from"}.get(about["to"], "")
    whom = f" {', '.join(others)} {way}" if way else ""
    of = f" with {', '.join(others)}" if about["to"] == "create" and others else ""
    return f"{about['user']} asks to {about['to']}{whom} {about['channel']}{of} (call {about['call']})"


def _stored(about: dict[str, Any]) -> str:
    if about["stream"] == RECEIPTS:
        return f"the log stores that {listed(about['read_by'], '')} has read {about['message_id']}"
    if about["stream"] != META:
        return f"the log stores {about['key']} as seq {about['seq']}"
    if about["change"]:
        return f"the log stores the change that {about['change']} (seq {about['seq']})"
    return f"the log stores a change of the members of {about['subject'].rpartition('.')[2]} (seq {about['seq']})"


def _history(about: dict[str, Any]) -> str:
    between = f" after seq {about['above']}" if about["above"] else ""
    between += f" before seq {about['below']}" if about["below"] else ""
    what = f"{about['device']} reads the history of {about['channel']}{between}"
    names = [f"{name} (seq {seq})" for seq, name, _ in about["messages"]]
    end = "is not known" if about["newest"] is None else f"is at seq {about['newest']}"
    shown = listed(names, "no message")
    return f"{what}: {shown}; complete up to seq {about['upto']}; the end of the log {end}"


def _lost(about: dict[str, Any]) -> str:
    return f"the log has lost {STREAMS[about['stream']]}: {listed(about['names'], 'none')}"


_SENTENCES: dict[str, Callable[[dict[str, Any]], str]] = CONVERSATION_SENTENCES | {
    "ready": lambda about: f"{about['process']} is ready",
    "ended": lambda about: f"{about['process']} has ended{': ' if about['failure'] else ''}{about['failure']}",
    "error": lambda about: f"{about['process']} makes an error: {about['error']}",
    "fault": fault_begins,
    "fault ended": fault_ends,
    "lost": _lost,
    "passed over": lambda about: f"instances have passed over gaps in the inbox: {about['counted']}",
    "faults ended": lambda _: "from now on nothing goes wrong any more",
    "at rest": lambda _: (
        "the tier is at rest: every process is ready, and all tables agree with the stores and with who is connected"
    ),
    "opened": lambda about: f"{about['device']} is connected to {about['instance']}",
    "closed": lambda about: f"{about['device']} is disconnected ({about['code']}: {about['reason']})",
    "loses network": lambda about: f"{about['device']} has no network for {about['seconds']} s",
    "stops reading": lambda about: f"{about['device']} reads nothing for {about['seconds']} s",
    "accepted": lambda about: f"{about['message']} is accepted",
    "not accepted": lambda about: f"{about['message']} is not accepted (status {about['status']})",
    "asks": _asks,
    "answered": lambda about: f"call {about['call']} is answered: {about['status'] or 'not at all'}",
    "stored": _stored,
    "frame": _frame,
    "history": _history,
    "refused": lambda about: (
        f"{about['device']} is refused the history of {about['channel']} (status {about['status']})"
    ),
}
