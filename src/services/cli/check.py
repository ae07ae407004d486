"""`fanout check` and `fanout migrate`: the configuration and each dependency, a line each."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from enum import StrEnum
from typing import Annotated, Final, NamedTuple

import structlog
import typer

from fanout import FanoutError
from services.cli.inspection import Found, Inspection
from services.cli.lines import Kind, say
from services.cli.run import EXIT_FAILED, EXIT_SETTINGS, settings_or_exit, warnings_of
from services.composition.backends import Backends
from services.runtime.health import Health
from services.runtime.settings import ConfigurationError, Settings

CHECK_WITHIN_S: Final = 15.0
_WORST_FIRST: Final[tuple[Kind, ...]] = ("bad", "weak", "ok")
_NAME_WIDTH: Final = 12

log = structlog.get_logger(__name__)

Attempt = Callable[[], Awaitable[Found]]
"""Returns what is good, in words; raises what is not."""

_UP: Final = "up"
_STORED: Final = ("log", "durability", "memberships")
NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    _UP: (*_STORED, "messages", "bus", "presence", "tokens", "snapshot", "ws_listen", "listen"),
    "gateway": (*_STORED, "messages", "presence", "tokens", "listen"),
    "fanout": (*_STORED, "bus", "presence", "snapshot", "listen"),
    "notification": (*_STORED, "bus", "presence", "tokens", "ws_listen", "listen"),
    "message-writer": (*_STORED, "messages", "listen"),
}
"""What each service needs, as methods of `Inspection`; `fanout up` needs it all."""

Checked = StrEnum("Checked", {name.replace("-", "_"): name for name in NEEDS})  # type: ignore[misc]


Attempts = Callable[[Settings, Backends], Mapping[str, Attempt]]
"""By name, in the order in which they are made."""


class Line(NamedTuple):
    """What is said of one thing."""

    kind: Kind
    text: str


def check(
    service: Annotated[
        Checked | None,
        typer.Argument(help="Check what this service needs to be started here; without one, everything."),
    ] = None,
) -> None:
    """Say of each setting and each dependency whether it is good, problems first. Nothing is made or changed.

    Exit code: 0 all is good, 1 a dependency is bad, 2 the settings are.
    """
    settings = settings_or_exit()
    about = [Line("ok", f"{variable}={shown}") for variable, shown in settings.described()]
    about += [Line("weak", text) for text in warnings_of(settings)]
    if service is None:
        about += [Line("weak", text) for text in _missing_to_serve(settings)]
    _report(about, asyncio.run(_try_each(settings, _inspections_for(service), alone=service in {None, _UP})))


def migrate(
    *,
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt",
            help="Take over stores and streams that are in use and carry no deployment's id, or have the membership "
            "store take over the id that the streams carry. What carries another id is refused all the same.",
        ),
    ] = False,
) -> None:
    """Create what the stores and the log need: files, schemas, streams, a secret. What is there stays.

    Exit code: 0 all is there, 1 a dependency is bad, 2 the settings are.
    """
    settings = settings_or_exit()
    _report([], asyncio.run(_try_each(settings, _openings, alone=True, adopt=adopt)))


def _missing_to_serve(settings: Settings) -> list[str]:
    if settings.nats_url and settings.redis_url and not (settings.jwt_secret or settings.jwks_url):
        return ["tokens: fanout serve needs FANOUT_JWT_SECRET or FANOUT_JWKS_URL; fanout up does not"]
    return []


async def _try_each(
    settings: Settings, attempts: Attempts, *, alone: bool, adopt: bool = False
) -> list[tuple[int, list[Line]]]:
    async with AsyncExitStack() as stack:
        backends = Backends(settings, Health(), stack, alone=alone, adopt=adopt)
        return [await _try(name, attempt) for name, attempt in attempts(settings, backends).items()]


def _report(about: list[Line], tried: list[tuple[int, list[Line]]]) -> None:
    """Say it all, the worst first, and end with the exit code that it stands for."""
    lines = about + [line for _, found in tried for line in found]
    for line in sorted(lines, key=lambda line: _WORST_FIRST.index(line.kind)):
        say(line.kind, line.text)
    if code := max(code for code, _ in tried):
        raise typer.Exit(code)


def _inspections_for(service: str | None) -> Attempts:
    def inspections(settings: Settings, backends: Backends) -> Mapping[str, Attempt]:
        inspection = Inspection(settings, backends, starting=service is not None)
        return {name: getattr(inspection, name) for name in NEEDS[service or _UP]}

    return inspections


def _openings(settings: Settings, backends: Backends) -> Mapping[str, Attempt]:
    def opened(what: str, open_it: Callable[[], Awaitable[object]]) -> Attempt:
        async def attempt() -> Found:
            await open_it()
            return Found(what)

        return attempt

    async def authenticator() -> object:
        return backends.authenticator()

    return {
        "log": opened("NATS JetStream" if settings.nats_url else "SQLite, embedded", backends.log),
        "presence": opened("Redis" if settings.redis_url else "embedded", backends.presence),
        "memberships": opened("SQLite, embedded", backends.memberships),
        "messages": opened("SQLite, embedded", backends.messages),
        "tokens": opened(", ".join(settings.jwt_algorithms), authenticator),
    }


async def _try(name: str, attempt: Attempt) -> tuple[int, list[Line]]:
    """How it went, in lines, and the exit code that it stands for."""
    column = name.ljust(_NAME_WIDTH)
    try:
        async with asyncio.timeout(CHECK_WITHIN_S):
            found = await attempt()
    except TimeoutError:
        return EXIT_FAILED, [Line("bad", f"{column} no answer within {CHECK_WITHIN_S:g} s")]
    except FanoutError as error:
        code = EXIT_SETTINGS if isinstance(error, ConfigurationError) else EXIT_FAILED
        return code, [Line("bad", f"{column} {error}")]
    except Exception as error:
        # One that crashes must not hide what the others find. Its text may quote a secret; the log redacts.
        log.debug("check crashed", check=name, exc_info=error)
        unexpected = f"{column} unexpected {type(error).__name__}; FANOUT_LOG_LEVEL=debug shows where"
        return EXIT_FAILED, [Line("bad", unexpected)]
    return 0, [Line("ok", f"{column} {found.good}"), *(Line("weak", f"{column} {text}") for text in found.weak)]
