"""Stories: what happened in a run, told in the words of the domain, for people who have not seen the code."""

from collections.abc import Callable, Iterator
from typing import Any

from tests.simulation.history import Entry
from tests.simulation.plan import Plan
from tests.simulation.run import Outcome


def story(outcome: Outcome) -> str:
    """The story of a run.

    Args:
        outcome: of the run.
    """
    lines = [*_beginning(outcome.plan), ""]
    lines += [f"{entry.at:8.3f} s  {text}" for entry in outcome.history.entries if (text := _told(entry))]
    lines += ["", "What was promised and does not hold:" if outcome.broken else "Every promise holds."]
    lines += [f"  {broken.promise}: {broken.what}" for broken in outcome.broken]
    return "\n".join(lines)


def _beginning(plan: Plan) -> Iterator[str]:
    shape = plan.shape
    yield (
        f"Seed {plan.seed}. A tier of {_count(shape.gateways, 'gateway')}, {_count(shape.workers, 'fan-out worker')}, "
        f"{_count(shape.instances, 'notification instance')} and {_count(shape.writers, 'message writer')}; "
        f"{_count(shape.partitions, 'partition')}{', with snapshots' if shape.snapshots else ''}."
    )
    for channel, members in plan.channels.items():
        yield f"{', '.join(sorted(members))} are members of {channel}."
    for link, seconds in plan.slow.items():
        yield f"{link.replace(' ', ' reaches ')} slowly: each way takes {seconds:.2g} s longer."


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _told(entry: Entry) -> str:
    """An entry as a sentence; empty for one that explains nothing."""
    tell = _SENTENCES.get(entry.what)
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
            return f"{device} gets {other}"


def _asks(about: dict[str, Any]) -> str:
    others = [user for user in about["users"] if user != about["user"]]
    whom = f" {', '.join(others)} to" if about["to"] == "invite" else ""
    of = f" with {', '.join(others)}" if about["to"] == "create" and others else ""
    return f"{about['user']} asks to {about['to']}{whom} {about['channel']}{of} (call {about['call']})"


def _stored(about: dict[str, Any]) -> str:
    if about["stream"] != "MESSAGES":
        return f"the log stores a change of the members of {about['subject'].rpartition('.')[2]} (seq {about['seq']})"
    return f"the log stores {about['key']} as seq {about['seq']}"


def _history(about: dict[str, Any]) -> str:
    between = f" after seq {about['above']}" if about["above"] else ""
    between += f" before seq {about['below']}" if about["below"] else ""
    what = f"{about['device']} reads the history of {about['channel']}{between}"
    end = "is not known" if about["newest"] is None else f"is at seq {about['newest']}"
    shown = _count(len(about["messages"]), "message")
    return f"{what}: {shown}, complete up to seq {about['upto']}; the end of the log {end}"


def _fault(about: dict[str, Any]) -> str:
    on, to, seconds = about["on"], about["to"], about["seconds"]
    return {
        "kill": f"{on} is killed, and is started again {seconds} s later",
        "kill without files": f"{on} is killed, loses its files, and is started again {seconds} s later",
        "remove": f"{on} is killed, and nothing comes in its place",
        "deploy": f"every process is asked to stop, and is started again {seconds} s later",
        "stop": f"{on} is asked to stop, and is started again {seconds} s later",
        "pause": f"{on} stands still for {seconds} s",
        "clock jumps": f"the clock of {on} jumps, and jumps back after {seconds} s",
        "cut": f"the connection of {on} to {to} is broken for {seconds} s",
        "stall": f"nothing passes between {on} and {to} for {seconds} s",
        "slow": f"the connection of {on} to {to} is slow for {seconds} s",
        "isolate": f"every connection of {on} to a server is broken for {seconds} s",
        "isolate silently": f"nothing passes between {on} and any server for {seconds} s",
        "away": f"{on} is away for {seconds} s",
        "stand still": f"{on} stands still for {seconds} s",
        "empty": f"{on} is away for {seconds} s, and comes back empty",
        "refuse": f"{on} is full for {seconds} s, and refuses writes",
        "lose newest": f"{on} loses its power for {seconds} s",
        "another": f"{on} is away for {seconds} s, and comes back with a new, empty stream",
    }[about["fault"]]


_SENTENCES: dict[str, Callable[[dict[str, Any]], str]] = {
    "ready": lambda about: f"{about['process']} is ready",
    "ended": lambda about: f"{about['process']} has ended{': ' if about['failure'] else ''}{about['failure']}",
    "error": lambda about: f"{about['process']} makes an error: {about['error']}",
    "fault": _fault,
    "fault ended": lambda about: (
        f"({about['fault']} of {' '.join(filter(None, (about['on'], about['to'])))} has ended)"
    ),
    "lost": lambda about: f"the log comes back without its {about['events']} newest events of {about['stream']}",
    "faults ended": lambda _: "from now on nothing goes wrong any more",
    "at rest": lambda _: "everything agrees",
    "opened": lambda about: f"{about['device']} is connected to {about['instance']}",
    "closed": lambda about: f"{about['device']} is disconnected ({about['code']}: {about['reason']})",
    "loses network": lambda about: f"{about['device']} has no network for {about['seconds']} s",
    "stops reading": lambda about: f"{about['device']} reads nothing for {about['seconds']} s",
    "posts": lambda about: f"{about['user']} posts {about['message']} to {about['channel']}",
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
