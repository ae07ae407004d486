"""When heartbeats are due, and when a server that does not answer them is taken as gone."""


class Heartbeats:
    """The heartbeats of one connection.

    Args:
        interval_s: seconds between two of them.
        answer_within_s: seconds within which anything must come from the server after a heartbeat.
        now: the time, in seconds.
    """

    def __init__(self, interval_s: float, answer_within_s: float, now: float) -> None:
        self._interval_s = interval_s
        self._answer_within_s = answer_within_s
        self._due = now + interval_s
        self._waits_since: float | None = None
        """Since when the server owes an answer and is not heard; None if it owes nothing."""
        self._is_held = False

    @property
    def deadline(self) -> float:
        """When the next heartbeat is due, or the server is taken as gone."""
        if self._waits_since is None or self._is_held:
            return self._due
        return min(self._due, self._waits_since + self._answer_within_s)

    def is_due(self, now: float) -> bool:
        """Whether a heartbeat is to be sent."""
        return self._due <= now

    def server_is_gone(self, now: float) -> bool:
        """Whether the server owes an answer and nothing has come for too long."""
        owes = self._waits_since is not None and not self._is_held
        return owes and (self._waits_since or 0.0) + self._answer_within_s <= now

    def sent(self, now: float) -> None:
        """A heartbeat is sent."""
        self._due = now + self._interval_s
        if self._waits_since is None:
            self._waits_since = now

    def hasten(self, at: float) -> None:
        """Let the next heartbeat be sent at a time, if it is not due before."""
        self._due = min(self._due, at)

    def heard(self, now: float) -> None:
        """A frame has come, other than the answer to a heartbeat."""
        if self._waits_since is not None:
            self._waits_since = now

    def answered(self) -> None:
        """The answer to a heartbeat has come."""
        self._waits_since = None

    def hold(self) -> None:
        """Nothing is read for now: silence says nothing about the server."""
        self._is_held = True

    def release(self, now: float) -> None:
        """Reading goes on."""
        self._is_held = False
        self.heard(now)
