"""Pages of a channel's history or of a thread, cut from the messages that a store finds."""

from collections.abc import Iterator

from fanout.events import StoredMessage, encode
from fanout.ports.messages import Page


def cut(messages: Iterator[StoredMessage], limit: int, max_bytes: int | None) -> Page:
    """Make a page of the first of some messages that fit in it. At most one message more is taken from the iterator.

    Args:
        messages: in the order of reading, as the page then has them.
        limit: the maximum number of messages.
        max_bytes: the maximum length of the messages' JSON, in bytes; None for no limit. The first message always fits.
    """
    taken: list[StoredMessage] = []
    left = max_bytes
    for message in messages:
        size = 0 if left is None else len(encode(message)) + 1  # and a comma
        if len(taken) == limit or (taken and left is not None and size > left):
            return Page(taken, message.seq)
        taken.append(message)
        left = None if left is None else left - size
    return Page(taken)
