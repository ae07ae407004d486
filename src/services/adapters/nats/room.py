"""Whether JetStream has room: it answers every question while it refuses each event that it should store."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from fanout.errors import StorageFull

TRY_AGAIN_AFTER_S: Final = 30.0
"""How long a refusal counts where nothing shows that there is room: not every limit can be looked at."""


class Room:
    """Remembers that an event was refused for want of room, until there is a sign of the contrary.

    Such a sign is an event that was stored, an account that holds less than at the refusal or has other limits, or
    `TRY_AGAIN_AFTER_S`: the next event then decides.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refusal: StorageFull | None = None
        self._refused_at = 0.0
        self._account: tuple[int, object] | None = None
        """What the account held, and its limits, when it was first looked at after the refusal."""

    @property
    def refused(self) -> bool:
        """Whether the last event was refused, and nothing has shown that there is room since."""
        return self._refusal is not None

    @contextmanager
    def storing(self) -> Iterator[None]:
        """Judge an attempt to store an event, made inside the context."""
        try:
            yield
        except StorageFull as error:
            self._refusal, self._refused_at, self._account = error, self._clock(), None
            raise
        self._refusal = None

    def check(self, account: Mapping[str, Any]) -> None:
        """Return when there is room, as far as is known.

        Args:
            account: what JetStream says of the account now.

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
