"""Sentences about conversations: replies, what is read, and what users are told that they have not read."""

from collections.abc import Callable
from typing import Any, Final

from tests.simulation.trace_sentences import listed


def _posts(about: dict[str, Any]) -> str:
    mentions = f", and mentions {listed(about['mentions'], 'nobody')}" if about.get("mentions") else ""
    if "thread_id" not in about:
        return f"{about['user']} posts {about['message']} to {about['channel']}{mentions}"
    where = "in the thread and in the channel" if about["also"] else "in the thread alone"
    why = ", which has no such thread" if about["astray"] else ""
    return f"{about['user']} replies {about['message']} to {about['to']} of {about['channel']}{why}, {where}{mentions}"


def _reply(about: dict[str, Any]) -> str:
    frame = about["frame"]
    name = frame["message"]["client_msg_id"]
    return f"{about['device']} gets the reply {name} in a thread of {frame['channel_id']} (seq {frame['seq']})"


def _receipt(about: dict[str, Any]) -> str:
    frame = about["frame"]
    return f"{about['device']} hears that {listed(frame['read_by'], '')} has read {frame['message_id']}"


def _error(about: dict[str, Any]) -> str:
    frame = about["frame"]
    return f"{about['device']} is refused {frame.get('offending_type') or 'a frame'}: {frame['code']}"


def _marks(about: dict[str, Any]) -> str:
    where = ", which is of another channel" if about["elsewhere"] else f" (seq {about['seq']})"
    return f"{about['device']} says that {about['user']} has read {about['channel']} up to {about['message']}{where}"


def _lists(about: dict[str, Any]) -> str:
    channels = [f"{channel} with {unread} unread" for channel, unread, *_ in about["channels"]]
    return f"{about['user']} is told of these channels: {listed(channels, 'none')}"


def _counts(about: dict[str, Any]) -> str:
    return f"{about['user']} is told of {about['total']} unread in all, and {about['mentions']} mentions"


def _thread(about: dict[str, Any]) -> str:
    replies = [f"{name} (seq {seq})" for seq, name in about["replies"]]
    end = f"complete up to seq {about['upto']}, and said to have {about['counts'][-1]}"
    return (
        f"{about['user']} reads the thread of {about['thread']} in {about['channel']}: {listed(replies, 'none')}; {end}"
    )


def _refused_thread(about: dict[str, Any]) -> str:
    thread = f"the thread of {about['thread']} in {about['channel']}"
    return f"{about['user']} is refused {thread} (status {about['status']})"


CONVERSATION_SENTENCES: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "posts": _posts,
    "marks read": _marks,
    "lists": _lists,
    "counts": _counts,
    "thread": _thread,
    "refused thread": _refused_thread,
    "last marks": lambda _: "devices say a last time what has been read",
    "last looks": lambda _: "users look at what they have not read, and at threads",
}
"""By the kind of an entry: what tells it."""
FRAME_SENTENCES: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "thread.reply": _reply,
    "receipt.read": _receipt,
    "error": _error,
}
"""By the type of a frame that a device gets: what tells it."""
