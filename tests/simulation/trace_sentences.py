"""Sentences about what processes do inside: one for each kind of entry of a trace."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from tests.simulation.fault_sentences import STREAMS


def listed(names: Sequence[str], none: str = "nothing") -> str:
    """Names in a sentence.

    Args:
        names: in order.
        none: what is said where there are none.
    """
    return ", ".join(names) or none


def _located(about: dict[str, Any]) -> str:
    channels = listed(about["channels"], "no channel")
    return f"{about['process']} now has {about['user']}, a member of {channels}, on {about['instance']}"


def _presence_set(about: dict[str, Any]) -> str:
    process, instance = about["process"], about["instance"]
    if about["unchanged"]:
        return f"{process} hears from {instance} that its table has the users who are connected there"
    return f"{process} hears from {instance} who is connected there: {listed(about['users'], 'nobody')}"


def _routes(about: dict[str, Any]) -> str:
    what = f"{about['message']} (seq {about['seq']}, partition {about['part']})"
    return f"{about['process']} routes {what} to {listed(about['to'], 'nobody')}"


def _marks(about: dict[str, Any]) -> str:
    what = f"{about['process']} marks partition {about['part']} for {about['to']} as routed up to seq {about['seq']}"
    return f"{what}, and has not sent it {listed(about['messages'])}"


def _announces(about: dict[str, Any]) -> str:
    where = "is on" if about["online"] else "has left"
    return f"{about['process']} announces that {about['user']} {where} {about['instance']}"


def _member(about: dict[str, Any]) -> str:
    is_member = "is" if about["is_member"] else "is not"
    return f"the membership store has it that {about['user']} {is_member} a member of {about['channel']}"


def _logs(about: dict[str, Any]) -> str:
    process, fields = about["process"], about["fields"]
    if (tell := LOG_SENTENCES.get(about["event"])) is not None:
        return f"{process} {tell.format(**fields)}"
    said = ", ".join(f"{key}: {text}" for key, text in fields.items())
    return f"{process} logs: {about['event']}{f' ({said})' if said else ''}"


LOG_SENTENCES: Final = {
    "another worker claimed the partition first": "finds that another worker has claimed partition {partition}",
    "gap in the inbox: reading the log": "misses events that it was not sent, and reads the log after seq {after} up "
    "to seq {upto}",
    "instance is gone": "evicts {instance}: it takes the users there out of its table ({users})",
    "lost partition": "finds that another worker has claimed partition {partition}",
    "membership changes were published again": "has published lost changes of members again ({published})",
    "memberships loaded again": "has loaded the channels of its sessions again ({sessions})",
    "presence set repaired": "has found users of {instance} that its table had not, or had too many ({users})",
    "routing is confirmed late; the clients read their channels again": "hears late that every worker routes to "
    "{user_id}, and tells the devices to read their channels again",
    "routing table is complete": "has a complete table, and may read partitions (users: {users}, "
    "instances: {instances})",
    "snapshot restored": "begins with a snapshot of its table (users: {users})",
    "the table was loaded again, because the log went back": "has loaded its table again (users: {users}), because the "
    "log went back",
    "a user's clients are served before every worker confirmed the routing": "serves {user_id}, though not every "
    "worker has said that it routes to that user",
}
"""How a log line is told, by its text; any other is told as it stands."""

TRACE_SENTENCES: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "located": _located,
    "removed": lambda about: f"{about['process']} no longer has {about['user']} on {about['instance']}",
    "channels": lambda about: (
        f"{about['process']} now has {about['user']} in {listed(about['channels'], 'no channel')}"
    ),
    "begins to read": lambda about: f"{about['process']} begins to read partition {about['part']}",
    "ends reading": lambda about: f"{about['process']} ends reading partition {about['part']}",
    "suspends": lambda about: f"{about['process']} suspends {about['instance']}: it routes no messages there",
    "resumes": lambda about: f"{about['process']} resumes {about['instance']}",
    "follows": lambda about: (
        f"{about['process']} begins to follow the {STREAMS[about['stream']]} after seq {about['after']}"
    ),
    "asks for users": lambda about: f"{about['process']} asks {about['to']} who is connected there",
    "presence set": _presence_set,
    "routes": _routes,
    "routes change": lambda about: f"{about['process']} routes to {about['to']} that {about['change']}",
    "marks": _marks,
    "applies": lambda about: f"{about['process']} applies the change that {about['change']} (seq {about['seq']})",
    "skips": lambda about: (
        f"{about['process']} skips the change that {about['change']} (seq {about['seq']}): a newer one is known"
    ),
    "writes": lambda about: f"{about['process']} writes {about['message']} (seq {about['seq']}) to the message store",
    "loads": lambda about: (
        f"{about['process']} loads the channels of {about['user']}: {listed(about['channels'], 'none')}"
    ),
    "is given": lambda about: (
        f"{about['process']} gets the channels of {about['user']} from a worker: {listed(about['channels'], 'none')}"
    ),
    "announces": _announces,
    "member": _member,
    "notices": lambda about: f"{about['process']} notices that the log has lost {STREAMS[about['stream']]}",
    "logs": _logs,
}
"""By the kind of an entry."""
