"""Whether the instances hear this worker.

An instance that has not heard a worker for `WORKER_SILENT_AFTER_S` admits users without its confirmation. So a worker
that may have been silent, because its process stood still or its connection was away, may lack users. It must not
route to an instance as before until the instance has compared its presence set with the table again.
"""

import math
from collections.abc import Callable
from typing import Final

from fanout import machine
from fanout.ids import new_ulid
from fanout.workers import WORKER_SILENT_AFTER_S

_REMEMBERED: Final = 64
"""Notices that have not come back. An older one would prove nothing any more."""


class Contact:
    """Follows the notices of this worker that come back to it: the bus takes them to the instances too.

    Args:
        clock: seconds, from any fixed point; it must not step back.
    """

    def __init__(self, *, clock: Callable[[], float] = machine.monotonic_s) -> None:
        self._clock = clock
        self._sent: dict[str, float] = {}
        self._lasts_until = -math.inf
        self._number = 0
        self._begun: list[Callable[[], None]] = []

    def on_begin(self, listener: Callable[[], None]) -> None:
        """Call `listener` each time that a contact begins."""
        self._begun.append(listener)

    def current(self) -> int | None:
        """The number of the contact that lasts, which rises with each silence; None where there is none."""
        return self._number if self._clock() < self._lasts_until else None

    def sign(self) -> str:
        """An id for a notice that is published now, and from which the instances know that the worker reads events."""
        notice_id = new_ulid()
        self._sent[notice_id] = self._clock()
        if len(self._sent) > _REMEMBERED:
            del self._sent[next(iter(self._sent))]
        return notice_id

    def hear(self, notice_id: str) -> None:
        """Take a notice that has come back. It counts from when it was sent: the instances heard it no earlier."""
        sent_at = self._sent.pop(notice_id, None)
        if sent_at is None:
            return
        lasted = self.current() is not None
        self._lasts_until = max(self._lasts_until, sent_at + WORKER_SILENT_AFTER_S)
        if not lasted and self._clock() < self._lasts_until:
            self._number += 1
            for listener in self._begun:
                listener()
