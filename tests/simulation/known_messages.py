"""The messages that a device knows, and can mark as read."""

from collections.abc import Sequence
from typing import Any

from tests.simulation.knowledge import Known


class KnownMessages:
    """What a device got over its socket or read in histories, by channel."""

    def __init__(self) -> None:
        self._channels: dict[str, dict[int, Known]] = {}

    @property
    def channels(self) -> list[str]:
        """Those of which it knows a message."""
        return sorted(self._channels)

    def hear(self, frame: dict[str, Any]) -> None:
        """Take a frame: a message or a reply."""
        message = frame["message"]
        self._add(Known(frame["channel_id"], frame["seq"], message["client_msg_id"], message["message_id"]))

    def read(self, channel: str, messages: Sequence[Sequence[Any]]) -> None:
        """Take a page of a history: seq, name and id of each message."""
        for message in messages:
            self._add(Known(channel, *message))

    def in_channel(self, channel: str, nth: int) -> Known | None:
        """A message of a channel, counted from the newest one; the oldest if there are not as many."""
        return _nth(list(self._channels.get(channel, {}).values()), nth)

    def elsewhere(self, channel: str, nth: int) -> Known | None:
        """A message of another channel, counted from the newest one of all."""
        others = [known for name, each in self._channels.items() if name != channel for known in each.values()]
        return _nth(others, nth)

    def _add(self, known: Known) -> None:
        self._channels.setdefault(known.channel, {})[known.seq] = known


def _nth(messages: Sequence[Known], nth: int) -> Known | None:
    newest = sorted(messages, key=lambda known: known.seq, reverse=True)
    return newest[min(nth, len(newest) - 1)] if newest else None
