"""Gaps: times within which messages may have been lost, and who is told of them."""

import asyncio
from collections.abc import Callable
from typing import Final

from prometheus_client import Counter

from fanout import machine
from fanout.ports.bus import GapListener
from services.runtime.skipping import guarded

GAPS: Final = Counter("fanout_bus_gaps_total", "Times within which messages of the bus may have been lost")
TOLD_AFTER_S: Final = 0.25
"""Seconds after the first of several losses until they are told as one gap."""


class Gaps:
    """The gaps of one receiver of messages, and those who listen for them."""

    def __init__(self) -> None:
        self._listeners: dict[GapListener, GapListener] = {}
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def on_gap(self, listener: GapListener) -> Callable[[], None]:
        """As `fanout.ports.bus.Bus.on_gap`."""
        self._listeners[listener] = guarded("gap", listener)
        return lambda: self._forget(listener)

    def begin(self, since: float | None = None) -> None:
        """Messages may be lost from now on, until the next `tell`.

        Args:
            since: monotonic seconds of the first message that may be lost; now if it is not given.
        """
        if self._since is None:
            self._since = machine.monotonic_s() if since is None else since

    def tell(self) -> None:
        """Messages come again: tell the listeners of the gap that began, if there is one."""
        if self._since is None:
            return
        seconds, self._since = machine.monotonic_s() - self._since, None
        self.close()
        GAPS.inc()
        for listener in list(self._listeners.values()):
            listener(seconds)

    def tell_soon(self, may_tell: Callable[[], bool] = lambda: True) -> None:
        """Tell the gap that began in a moment, together with what is lost until then.

        Args:
            may_tell: says then whether messages come. If not, somebody calls `tell` later.
        """
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TOLD_AFTER_S, self._tell_if, may_tell)

    def close(self) -> None:
        """Tell nothing that was to be told soon."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell_if(self, may_tell: Callable[[], bool]) -> None:
        self._timer = None
        if may_tell():
            self.tell()

    def _forget(self, listener: GapListener) -> None:
        self._listeners.pop(listener, None)
