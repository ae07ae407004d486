"""Backends, the technologies behind the ports: the form of a row of their table, and those that a process has open.

No adapter is named here. `services.composition.table` has the rows.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar, get_type_hints

from fanout.errors import Unavailable
from services.runtime.health import Check, Health
from services.runtime.settings import PREFIX, ConfigurationError, Settings


class _Closable(Protocol):
    async def close(self) -> None: ...


_C = TypeVar("_C", bound=_Closable)
_P = TypeVar("_P")
_T = TypeVar("_T")

Port = Callable[..., _P]
"""A protocol of `fanout.ports`. Not `type[P]`: the type checker takes only concrete classes for that."""


class Found(NamedTuple):
    """The result of a check that found no problem."""

    good: str
    """A text about what was found."""
    weak: tuple[str, ...] = ()
    """Settings that work but should be changed, a sentence each."""


Open = Callable[["Backends"], Awaitable[_P]]
"""Connects to a backend, and creates there what is missing. It hands what it opened to `Backends.close_at_end`."""
Look = Callable[["Backends"], Awaitable[Found]]
"""Inspects a backend and returns what it found, or raises an error if there is a problem. It changes nothing."""


async def _ping(opened: Any) -> None:
    await opened.ping()


@dataclass(frozen=True, kw_only=True)
class Adapter(Generic[_P]):
    """One technology that a port can run on."""

    description: str
    """The technology in a few words, for `fanout migrate` and the log line at the start."""
    open: Open[_P]
    look: Look
    """For `fanout check`."""
    checks: Mapping[str, Look] = field(default_factory=dict)
    """Further lines of `fanout check`, by name. Every adapter of a port has the same names."""
    existing_id: Callable[["Backends"], Awaitable[str | None]] | None = None
    """For the membership store alone: reads the deployment's id, None if there is none yet. It creates
    nothing."""
    ping: Callable[[_P], Awaitable[None]] | None = _ping
    """The check for `/readyz`; None where there is nothing that could be away."""
    ping_name: str = ""
    """The name of that check; empty for the name of the row."""


@dataclass(frozen=True, kw_only=True)
class Backend(Generic[_P]):
    """A row of the table: the adapters of a port, and the setting that chooses between them."""

    name: str
    """In `fanout check`, `fanout migrate` and `/readyz`."""
    ports: tuple[Port[Any], ...]
    """The ports that the opened backend implements. No two rows name the same one."""
    embedded: Adapter[_P]
    """Used where the settings name no server."""
    remote: Adapter[_P] | None = None
    """Used where `setting` is set. A server that does not answer is an error; the embedded one never replaces it."""
    setting: str = ""
    """The field of `Settings` that chooses `remote`."""
    server: str = ""
    """The server to use where services run in several processes. Empty: the embedded adapter serves several as well."""
    rests_on: tuple[Port[Any], ...] = ()
    """The ports that are opened first, since this one carries the deployment's id or keeps something there."""
    migrated: bool = True
    """Whether `fanout migrate` opens it, as it has something to create."""

    def adapter(self, settings: Settings, *, alone: bool) -> Adapter[_P]:
        """The adapter that the settings choose.

        Args:
            settings: of the process.
            alone: every service runs in this process.

        Raises:
            ConfigurationError: that is the embedded one, which works inside one process only, and there are several.
        """
        if self.remote is not None and getattr(settings, self.setting):
            return self.remote
        if self.server and not alone:
            why = f"services that run in separate processes need {self.server}; set it, or use `fanout up`"
            raise ConfigurationError([f"{PREFIX}{self.setting.upper()}: {why}"])
        return self.embedded


Table = tuple[Backend[Any], ...]


class Backends:
    """The backends of one process. Each is opened once, when it is first asked for.

    Args:
        table: the rows.
        settings: choose the adapter of each.
        health: gets a check for each that is opened.
        stack: closes them, the last opened first.
        alone: every service runs in this process, so what works inside one process only may be embedded.
        adopt: take over stores and streams that are in use and carry no deployment's id.
    """

    def __init__(
        self,
        table: Table,
        settings: Settings,
        health: Health,
        stack: AsyncExitStack,
        *,
        alone: bool,
        adopt: bool = False,
    ) -> None:
        self.settings: Final = settings
        self.alone: Final = alone
        self.adopt: Final = adopt
        self._rows: Final = {port: row for row in table for port in row.ports}
        self._health = health
        self._stack = stack
        self._opened: dict[Any, Any] = {}

    async def open(self, port: Port[_P], *, required: bool = True) -> _P:
        """Open what the settings name for a port, and watch it in `/readyz`.

        Args:
            port: a protocol that a row of the table names.
            required: whether the process is not ready without it; otherwise it is degraded.

        Raises:
            ConfigurationError: the settings name no server, and other processes need one.
            Unavailable: it does not answer.
            ForeignStore: it belongs to another deployment or program.
        """
        row = self._rows[port]
        adapter = self.chosen(port)
        opened: _P = await self.shared(adapter.open)
        if adapter.ping is not None:
            self._health.add(adapter.ping_name or row.name, _bound(adapter.ping, opened), required=required)
        return opened

    async def open_all(self, ports: type[_P], *, degraded_without: Iterable[Port[Any]] = ()) -> _P:
        """Open every port that a service needs.

        Args:
            ports: a dataclass whose fields are annotated with the ports.
            degraded_without: the ports without which the service is degraded; without the others it is not ready.
        """
        spared = frozenset(degraded_without)
        needed = get_type_hints(ports)
        return ports(**{name: await self.open(port, required=port not in spared) for name, port in needed.items()})

    async def shared(self, make: Open[_T]) -> _T:
        """Return the result of the first call of `make`: a connection that several backends use, for example."""
        if make not in self._opened:
            self._opened[make] = await make(self)
        result: _T = self._opened[make]
        return result

    def watch(self, name: str, check: Check) -> None:
        """Watch a part of a backend in `/readyz`. The process is degraded without it."""
        self._health.add(name, check, required=False)

    def close_at_end(self, opened: _C) -> _C:
        """Register something to be closed when the process ends, after everything that is opened later."""
        self._stack.push_async_callback(opened.close)
        return opened

    def chosen(self, port: Port[_P]) -> Adapter[_P]:
        """The adapter that the settings choose for a port; see `Backend.adapter`."""
        row: Backend[_P] = self._rows[port]
        return row.adapter(self.settings, alone=self.alone)


def needed_rows(table: Table, ports: Iterable[Port[Any]]) -> list[Backend[Any]]:
    """The rows of some ports and of what those rest on, in the order of the table."""
    rows = {port: row for row in table for port in row.ports}
    wanted: set[str] = set()
    waiting = list(ports)
    while waiting:
        row = rows[waiting.pop()]
        if row.name not in wanted:
            wanted.add(row.name)
            waiting += row.rests_on
    return [row for row in table if row.name in wanted]


def inspections(row: Backend[Any]) -> dict[str, Look]:
    """The lines that `fanout check` has for a row, by name."""
    port = row.ports[0]

    async def look(backends: Backends) -> Found:
        return await backends.chosen(port).look(backends)

    def further(name: str) -> Look:
        async def look_further(backends: Backends) -> Found:
            try:
                adapter = backends.chosen(port)
            except ConfigurationError as error:  # the line of the row itself says it
                raise Unavailable(f"this cannot be checked without the {row.name}") from error
            return await adapter.checks[name](backends)

        return look_further

    return {row.name: look, **{name: further(name) for name in row.embedded.checks}}


@contextmanager
def naming(variable: str) -> Iterator[None]:
    """Put the setting that names a server before the error that it does not answer."""
    try:
        yield
    except Unavailable as error:
        raise Unavailable(f"{PREFIX}{variable}: {error}") from error


def _bound(ping: Callable[[_P], Awaitable[None]], opened: _P) -> Check:
    async def check() -> None:
        await ping(opened)

    return check
