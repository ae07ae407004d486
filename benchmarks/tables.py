"""The engine and its alternatives, by one set of calls."""

from collections.abc import Callable, Iterable
from typing import Final, Literal, Protocol

from benchmarks.baselines.cython_table import CythonTable
from benchmarks.baselines.python_table import PythonTable
from fanout import Engine

Kind = Literal["engine", "python", "cython"]
KINDS: Final[tuple[Kind, ...]] = ("engine", "python", "cython")
TITLES: Final[dict[Kind, str]] = {"engine": "engine", "python": "Python dicts", "cython": "Cython"}


class Table(Protocol):
    """What is measured of each."""

    def user_online(self, user: str, instance: str, channels: Iterable[str] | None = None) -> int:
        """How many (channel, instance) pairs are new."""

    def user_offline(self, user: str, instance: str) -> int:
        """How many (channel, instance) pairs are gone."""

    def forget(self, user: str) -> None:
        """Drop the list of a user who is offline."""

    def instances(self, channel: str) -> frozenset[str]:
        """Where the channel's readers are."""

    def widths(self, channels: Iterable[str]) -> list[int]:
        """How many instances each channel has: the bulk lookup."""

    def members(self, channel: str) -> dict[str, list[str]]:
        """The channel's online members, sorted, by instance."""

    def route_many(self, events: list[tuple[str, bytes]]) -> int:
        """How many targets in all."""

    def drain(self) -> list[tuple[str, bytes]]:
        """All batches."""


def new_table(kind: Kind) -> Table:
    """An empty table. The engine's batches are due at once, so that `drain` takes them all."""
    makers: dict[Kind, Callable[[], Table]] = {
        "engine": lambda: Engine(flush_interval=0.0),
        "python": PythonTable,
        "cython": CythonTable,
    }
    return makers[kind]()
