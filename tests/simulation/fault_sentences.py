"""Sentences about faults: how each begins, and how each ends."""

from typing import Any, Final

_BEGINS: Final[dict[str, str]] = {
    "kill": "{on} is killed, and is started again {seconds} s later",
    "kill without files": "{on} is killed, loses its files, and is started again {seconds} s later",
    "remove": "{on} is killed, and nothing comes in its place",
    "deploy": "every process is asked to stop, and is started again {seconds} s later",
    "stop": "{on} is asked to stop, and is started again {seconds} s later",
    "pause": "{on} stands still for {seconds} s",
    "clock jumps": "the clock of {on} jumps, and jumps back after {seconds} s",
    "cut": "the connection of {on} to {to} is broken for {seconds} s",
    "stall": "nothing passes between {on} and {to} for {seconds} s",
    "slow": "the connection of {on} to {to} is slow for {seconds} s",
    "isolate": "every connection of {on} to a server is broken for {seconds} s",
    "isolate silently": "nothing passes between {on} and any server for {seconds} s",
    "away": "{on} is away for {seconds} s",
    "stand still": "{on} stands still for {seconds} s",
    "empty": "{on} is away for {seconds} s, and comes back empty",
    "refuse": "{on} is full for {seconds} s, and refuses writes",
    "lose newest": "{on} loses its power for {seconds} s",
    "another": "{on} is away for {seconds} s, and comes back with a new, empty stream of {stream}",
}
_ENDS: Final[dict[str, str]] = {
    "kill": "{on} is started again",
    "kill without files": "{on} is started again, with no files",
    "remove": "",
    "deploy": "every process is started again",
    "stop": "{on} is started again",
    "pause": "{on} goes on",
    "clock jumps": "the clock of {on} jumps back",
    "cut": "{on} can connect to {to} again",
    "stall": "{on} and {to} reach each other again",
    "slow": "the connection of {on} to {to} is as fast as before",
    "isolate": "{on} can connect to the servers again",
    "isolate silently": "{on} and the servers reach each other again",
    "away": "{on} is back",
    "stand still": "{on} goes on",
    "empty": "{on} is back, empty",
    "refuse": "{on} has room again",
    "lose newest": "{on} is back, without what it has lost",
    "another": "{on} is back, with a new stream of {stream}",
}
"""Empty where the beginning says that it never ends."""
STREAMS: Final = {"MESSAGES": "messages", "META": "changes of members", "RECEIPTS": "receipts", "DEAD": "dead letters"}
"""What each stream of the log has."""


def fault_begins(about: dict[str, Any]) -> str:
    """That a fault strikes."""
    return _BEGINS[about["fault"]].format(stream=STREAMS.get(about["to"], ""), **about)


def fault_ends(about: dict[str, Any]) -> str:
    """That a fault has ended; empty for one that does not end."""
    return _ENDS[about["fault"]].format(stream=STREAMS.get(about["to"], ""), **about)
