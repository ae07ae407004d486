"""Tells the others that the user is typing, for as long as keys are pressed."""

from fanout.client.client_frames import encode


class TypingNotices:
    """Repeats `typing.start` while the user types, and ends with `typing.stop`.

    Args:
        repeat_s: seconds after which a notice is repeated. Receivers end the typing 6 s after the last one.
    """

    def __init__(self, repeat_s: float) -> None:
        self._repeat_s = repeat_s
        self._due: dict[str, float] = {}
        self._pressed: dict[str, bool] = {}

    @property
    def deadline(self) -> float | None:
        """When `expire` is to be called; None while nobody types."""
        return min(self._due.values(), default=None)

    def press(self, channel_id: str, now: float) -> list[str]:
        """A key was pressed in a channel; returns the frames to send."""
        if channel_id in self._due:
            self._pressed[channel_id] = True
            return []
        return [self._start(channel_id, now)]

    def stop(self, channel_id: str) -> list[str]:
        """The user has ended typing; returns the frames to send."""
        if self._due.pop(channel_id, None) is None:
            return []
        self._pressed.pop(channel_id, None)
        return [encode("typing.stop", channel_id=channel_id)]

    def expire(self, now: float) -> list[str]:
        """Repeat the notices that are due, or end those of channels where no key was pressed since."""
        frames: list[str] = []
        for channel_id in [channel_id for channel_id, due in self._due.items() if due <= now]:
            frames += [self._start(channel_id, now)] if self._pressed.get(channel_id) else self.stop(channel_id)
        return frames

    def clear(self) -> None:
        """Forget everything: the connection is lost, and the server has ended the typing."""
        self._due.clear()
        self._pressed.clear()

    def _start(self, channel_id: str, now: float) -> str:
        self._due[channel_id] = now + self._repeat_s
        self._pressed[channel_id] = False
        return encode("typing.start", channel_id=channel_id)
