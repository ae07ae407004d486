"""Instances that get no stored event until the table has all their users."""

from fanout import Engine

REMEMBERED = 1_000
"""The most suspended instances. An instance that is gone for good does not come back under its name, so the oldest one
is forgotten first."""


class Suspensions:
    """Suspends instances in the engine, and remembers which of them have stopped.

    While only a part of an instance's users is in the table, an event for one of them would advance the instance's
    position in the lane, and the instance would not notice that the others missed theirs.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._stopped: dict[str, str] = {}
        """By suspended instance, the longest suspended first: the incarnation that said it has stopped, or empty."""

    def __contains__(self, instance_id: str) -> bool:
        """Whether the instance is suspended."""
        return instance_id in self._stopped

    def suspend(self, instance_id: str, *, stopped: str = "") -> None:
        """Route no stored event to the instance until `resume`.

        Args:
            instance_id: which.
            stopped: the incarnation that said it has stopped, if one did.
        """
        self._engine.suspend(instance_id)
        self._stopped.pop(instance_id, None)
        self._stopped[instance_id] = stopped
        if len(self._stopped) > REMEMBERED:
            self.resume(next(iter(self._stopped)))

    def resume(self, instance_id: str) -> None:
        """Route stored events to the instance again."""
        del self._stopped[instance_id]
        self._engine.resume(instance_id)

    def has_stopped(self, instance_id: str, incarnation: str) -> bool:
        """Whether this incarnation said that it has stopped: its lease may still be there."""
        return bool(incarnation) and self._stopped.get(instance_id) == incarnation
