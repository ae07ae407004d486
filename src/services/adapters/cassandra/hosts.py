"""The hosts of `FANOUT_CASSANDRA_HOSTS`."""

from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

DEFAULT_PORT: Final = 9042


class Hosts(NamedTuple):
    """The nodes that are asked first, and the credentials."""

    contact_points: tuple[tuple[str, int], ...]
    user: str | None = None
    password: str = ""

    def __str__(self) -> str:
        """The nodes, without the credentials."""
        return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.contact_points)

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "Hosts":
        """Read the elements of the setting, `[user:password@]host[:port]`. The first credentials count for all hosts.

        Raises:
            ValueError: an element is not of that form, or there is none. The text quotes nothing.
        """
        parts = [urlsplit(f"//{text}") for text in texts]
        if not parts or any(not part.hostname or part.path or part.query or part.fragment for part in parts):
            raise ValueError("must be hosts, as in 10.0.0.1 or user:password@10.0.0.1:9042, separated by commas")
        points = tuple((part.hostname or "", part.port or DEFAULT_PORT) for part in parts)
        named = next((part for part in parts if part.username is not None), None)
        if named is None:
            return cls(points)
        return cls(points, unquote(named.username or ""), unquote(named.password or ""))
