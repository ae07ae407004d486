"""Instances that get no stored event, because the table may lack some of their users."""

from fanout import Engine
from services.fan_out.contact import Contact
from services.fan_out.metrics import INSTANCES_SUSPENDED

REMEMBERED = 10_000
"""The most suspended instances. An instance that is gone for good does not come back under its name, so the oldest one
is forgotten first."""


class Suspensions:
    """Suspends instances in the engine until their presence sets agree with the table, and while this worker is silent.

    While only a part of an instance's users is in the table, an event for one of them would advance the instance's
    position in the lane, and the instance would not notice that the others missed theirs.

    Args:
        engine: has the table.
        contact: says whether the instances hear this worker. An instance that does not hear it does not wait for it
            when it admits a user, so an agreement holds as long as the contact in which it was reached.
    """

    def __init__(self, engine: Engine, contact: Contact) -> None:
        self.contact = contact
        self._engine = engine
        self._suspended: dict[str, str] = {}
        """By suspended instance, the longest suspended first: the incarnation that said it has stopped, or empty."""
        self._agreed_in: dict[str, int | None] = {}
        """By known instance: the contact in which it agreed last."""
        self._followed: int | None = None
        """The contact in which no instance gets events that has not agreed."""

    def __contains__(self, instance_id: str) -> bool:
        """Whether the instance is suspended."""
        return instance_id in self._suspended

    def know(self, instance_id: str) -> None:
        """Route no stored event to an instance that is new here, until it agrees."""
        self._agreed_in[instance_id] = None
        self._suspend(instance_id)

    def forget(self, instance_id: str, *, stopped: str = "") -> None:
        """Route no stored event to an instance that is gone.

        Args:
            instance_id: which.
            stopped: the incarnation that said it has stopped, if one did.
        """
        self._agreed_in.pop(instance_id, None)
        self._suspend(instance_id, stopped=stopped)

    def agree(self, instance_id: str, contact: int | None) -> None:
        """Route stored events to an instance whose presence set the table has, if the contact lasts.

        Args:
            instance_id: which.
            contact: in which the instance was asked; None where there was none.
        """
        if contact is None or instance_id not in self._agreed_in:
            return
        self._agreed_in[instance_id] = contact
        self.follow_contact()
        if contact == self._followed and instance_id in self:
            self._resume(instance_id)

    def count(self) -> int:
        """How many known instances are suspended."""
        return sum(instance_id in self for instance_id in self._agreed_in)

    def has_stopped(self, instance_id: str, incarnation: str) -> bool:
        """Whether this incarnation said that it has stopped: its lease may still be there."""
        return bool(incarnation) and self._suspended.get(instance_id) == incarnation

    def follow_contact(self) -> None:
        """Suspend the instances that may have admitted users without this worker. Call it before an event is routed."""
        contact = self.contact.current()
        if contact == self._followed:
            return
        self._followed = contact
        for instance_id, agreed_in in self._agreed_in.items():
            if contact is None or agreed_in != contact:
                self._suspend(instance_id)

    def mark(self) -> bool:
        """Tell each instance that has users in the table how far each lane was routed; returns whether there is one.

        The first mark after a suspension shows a gap up to its position. So an instance that is suspended reads the
        log, and waits neither for the table nor for this worker.
        """
        self.follow_contact()
        suspended = [instance_id for instance_id in self._agreed_in if instance_id in self]
        INSTANCES_SUSPENDED.set(len(suspended))
        for instance_id in suspended:
            self._engine.resume(instance_id)
        try:
            return self._engine.mark() > 0
        finally:
            for instance_id in suspended:
                self._engine.suspend(instance_id)

    def _suspend(self, instance_id: str, *, stopped: str = "") -> None:
        self._engine.suspend(instance_id)
        self._suspended.pop(instance_id, None)
        self._suspended[instance_id] = stopped
        if len(self._suspended) > REMEMBERED:
            self._resume(next(iter(self._suspended)))

    def _resume(self, instance_id: str) -> None:
        del self._suspended[instance_id]
        self._engine.resume(instance_id)
