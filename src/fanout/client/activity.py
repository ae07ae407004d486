"""The state of the user at this device, as heartbeats tell it: active, idle or in the background."""

from typing import Literal, TypeAlias

State: TypeAlias = Literal["active", "idle", "background"]


class Activity:
    """The state of the device. A user who has done nothing for a while is idle.

    Args:
        state: at the start.
        now: the time, in seconds.
        idle_after_s: seconds without an interaction after which an active user is idle.
    """

    def __init__(self, state: State, now: float, idle_after_s: float) -> None:
        self.state: State = state
        self._idle_after_s = idle_after_s
        self._interacted_at = now

    @property
    def deadline(self) -> float | None:
        """When `expire` is to be called; None if only the user changes the state."""
        return self._interacted_at + self._idle_after_s if self.state == "active" else None

    def set(self, state: State, now: float) -> bool:
        """Set the state; returns whether it has changed."""
        changed = state != self.state
        self.state, self._interacted_at = state, now
        return changed

    def expire(self, now: float) -> bool:
        """Become idle if it is time to; returns whether the state has changed."""
        due = self.deadline
        return due is not None and due <= now and self.set("idle", now)
