"""Limits of the number of sockets: of unauthenticated clients, of one user, and of the instance."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from fanout import machine
from services.notification.metrics import UNAUTHENTICATED
from services.notification.refusals import Refused, not_now
from services.notification.registry import Registry

SILENCE_S: Final = 1.0
"""Seconds that a client may be silent before it makes room for a new one. A real client authenticates at once."""


def crowded() -> Refused:
    """The refusal of an unauthenticated client because there are too many of them."""
    return not_now("too many clients are not authenticated yet", "unauthenticated")


class Capacity:
    """Counts clients that have no session yet. Each limit has its own count, and a client counts towards one at a time.

    Args:
        registry: holds the sessions.
        sockets: the highest number of authenticated clients.
        unauthenticated: the highest number of clients that are not authenticated yet.
        of_one_user: the highest number of sockets of one user.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        sockets: int,
        unauthenticated: int,
        of_one_user: int,
        clock: Callable[[], float] = machine.monotonic_s,
    ) -> None:
        self._registry = registry
        self._sockets = sockets
        self._most_unauthenticated = unauthenticated
        self._of_one_user = of_one_user
        self._clock = clock
        self._unauthenticated = 0
        self._silent: dict[Callable[[], None], float] = {}
        """The clients that have sent nothing yet, the oldest first: how to refuse one, and when it came."""
        self._entering = 0  # until their sessions are in the registry
        self._entering_of: Counter[str] = Counter()  # the same by user

    @contextmanager
    def unauthenticated(self) -> Iterator[None]:
        """Hold a place for a client that authenticates within the context.

        Raises:
            Refused: too many others do, or the instance is full.
        """
        self._refuse_if_full()
        if self._unauthenticated >= self._most_unauthenticated and not self._send_one_away():
            raise crowded()
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    @contextmanager
    def silent(self, send_away: Callable[[], None]) -> Iterator[None]:
        """Count a client as silent within the context. After `SILENCE_S` it may have to make room for another client.

        Args:
            send_away: refuses the client, so that it leaves its place. It is called at most once, within the context.
        """
        self._silent[send_away] = self._clock()
        try:
            yield
        finally:
            self._silent.pop(send_away, None)

    def enter(self, user_id: str, device_id: str) -> ExitStack:
        """Hold a place for an authenticated client until its session is in the registry.

        Args:
            user_id: whose client.
            device_id: a session of the same device does not count, since the new one replaces it.

        Returns:
            the place. The caller closes it then, or when the client is refused. A second close does nothing.

        Raises:
            Refused: the instance is full, or the user has too many sockets.
        """
        self._refuse_if_full()
        if self._entering_of[user_id] + self._others(user_id, device_id) >= self._of_one_user:
            raise not_now(f"this user has {self._of_one_user} connections here, the most that one may have", "user")
        self._entering += 1
        self._entering_of[user_id] += 1
        place = ExitStack()
        place.callback(self._entered, user_id)
        return place

    def _send_one_away(self) -> bool:
        """Refuse the client that is silent for longest, if that is long enough. Return whether one was refused."""
        send_away, since = next(iter(self._silent.items()), (None, 0.0))
        if send_away is None or self._clock() - since < SILENCE_S:
            return False
        del self._silent[send_away]
        send_away()
        return True

    def _others(self, user_id: str, device_id: str) -> int:
        sessions = self._registry.sessions_of(user_id)
        return sum(session.device_id != device_id and session.ending is None for session in sessions)

    def _entered(self, user_id: str) -> None:
        self._entering -= 1
        self._entering_of[user_id] -= 1
        if not self._entering_of[user_id]:
            del self._entering_of[user_id]

    def _count(self, change: int) -> None:
        self._unauthenticated += change
        UNAUTHENTICATED.set(self._unauthenticated)

    def _refuse_if_full(self) -> None:
        if len(self._registry) + self._entering >= self._sockets:
            raise not_now("this instance is full", "full")
