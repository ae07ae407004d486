"""Whether JetStream has room. It answers every request while it refuses to store events."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from fanout import machine
from fanout.errors import StorageFull

TRY_AGAIN_AFTER_S: Final = 30.0
"""Seconds for which a refusal counts when nothing shows that there is room: not every limit can be read."""


class Room:
    """Remembers that an event was refused because there was no room, until something shows that there is room.

    That is an event that was stored, or an account that holds less than at the refusal or has other limits. After
    `TRY_AGAIN_AFTER_S` the refusal is forgotten, and the next event shows whether there is room.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = machine.monotonic_s) -> None:
        self._clock = clock
        self._refusal: StorageFull | None = None
        self._refused_at = 0.0
        self._account: tuple[int, object] | None = None
        """The bytes that the account held, and its limits, at the first look after the refusal."""

    @property
    def refused(self) -> bool:
        """Whether the last event was refused, and nothing has shown that there is room since."""
        return self._refusal is not None

    @contextmanager
    def storing(self) -> Iterator[None]:
        """Take note of whether an attempt to store an event, made inside the context, was refused."""
        try:
            yield
        except StorageFull as error:
            self._refusal, self._refused_at, self._account = error, self._clock(), None
            raise
        self._refusal = None

    def check(self, account: Mapping[str, Any]) -> None:
        """Return if there is room, as far as is known.

        Args:
            account: JetStream's account information, read now.

        Raises:
            StorageFull: the last event was refused, and nothing has changed since.
        """
        if self._refusal is None:
            return
        held = account.get("storage", 0) + account.get("memory", 0)
        limits = (account.get("limits"), account.get("tiers"))
        before, self._account = self._account or (held, limits), (held, limits)
        expired = self._clock() - self._refused_at >= TRY_AGAIN_AFTER_S
        if expired or held < before[0] or limits != before[1]:
            self._refusal = None
        else:
            raise StorageFull(str(self._refusal))
