"""`fanout check` and `fanout migrate`: the settings and each backend, a line each."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Final, NamedTuple

import structlog
import typer

from fanout import FanoutError
from services.cli.lines import Severity, say
from services.cli.run import EXIT_FAILED, EXIT_SETTINGS, settings_or_exit, warnings_of
from services.composition.backends import Backend, Backends, Found, inspections
from services.composition.running import Services, rows_of
from services.composition.services import EVERY_SERVICE, SERVICES
from services.composition.table import BACKENDS
from services.composition.this_machine import LISTEN
from services.runtime.health import Health
from services.runtime.settings import ConfigurationError, Settings

CHECK_WITHIN_S: Final = 15.0
_WORST_FIRST: Final[tuple[Severity, ...]] = ("bad", "weak", "ok")
_NAME_WIDTH: Final = 12

log = structlog.get_logger(__name__)

_UP: Final = "up"
CHECKED: Final[Mapping[str, Services]] = {_UP: EVERY_SERVICE, **{name: (each,) for name, each in SERVICES.items()}}
"""The services that can be checked, by name; `up` stands for every service."""

Checked = StrEnum("Checked", {name.replace("-", "_"): name for name in CHECKED})  # type: ignore[misc]

Attempt = Callable[[], Awaitable[Found]]
"""Returns a text about what it found; raises an error if there is a problem."""
Attempts = Callable[[Settings, Backends], Mapping[str, Attempt]]
"""By name, in the order in which they are made."""


class Line(NamedTuple):
    """A line of the output."""

    severity: Severity
    text: str


def check(
    service: Annotated[
        Checked | None,
        typer.Argument(help="Check what this service needs in order to start here. Without a name: everything."),
    ] = None,
) -> None:
    """Check each setting, server and store; print problems first. Nothing is created or changed.

    Exit code: 0 no problem was found, 1 a server or a store has a problem, 2 the settings are wrong.
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
            help="Also take over stores and streams that have data but carry no deployment's id; and where the "
            "membership store is new, give it the id that the streams carry. A store that carries another id is "
            "refused in any case.",
        ),
    ] = False,
) -> None:
    """Create the files, schemas, streams and the secret that are missing. Existing data stays as it is.

    Exit code: 0 everything is there, 1 a server or a store has a problem, 2 the settings are wrong.
    """
    settings = settings_or_exit()
    _report([], asyncio.run(_try_each(settings, _openings, alone=True, adopt=adopt)))


def _missing_to_serve(settings: Settings) -> list[str]:
    servers = all(getattr(settings, row.setting) for row in BACKENDS if row.server)
    if servers and not (settings.jwt_secret or settings.jwks_url):
        return ["tokens: fanout serve needs FANOUT_JWT_SECRET or FANOUT_JWKS_URL; fanout up does not"]
    return []


async def _try_each(
    settings: Settings, attempts: Attempts, *, alone: bool, adopt: bool = False
) -> list[tuple[int, list[Line]]]:
    async with AsyncExitStack() as stack:
        backends = Backends(BACKENDS, settings, Health(), stack, alone=alone, adopt=adopt)
        return [await _try(name, attempt) for name, attempt in attempts(settings, backends).items()]


def _report(about: list[Line], tried: list[tuple[int, list[Line]]]) -> None:
    """Print the lines, the worst first, and end with the worst exit code."""
    lines = about + [line for _, found in tried for line in found]
    for line in sorted(lines, key=lambda line: _WORST_FIRST.index(line.severity)):
        say(line.severity, line.text)
    if code := max(code for code, _ in tried):
        raise typer.Exit(code)


def _inspections_for(service: str | None) -> Attempts:
    services, starting = CHECKED[service or _UP], service is not None
    rows = BACKENDS if service is None else rows_of(services, BACKENDS)

    def attempts(settings: Settings, backends: Backends) -> Mapping[str, Attempt]:
        looks = [named for row in rows for named in inspections(row).items()]
        local = [*(check for each in services for check in each.checks), LISTEN]
        return {
            **{name: partial(look, backends) for name, look in looks},
            **{name: partial(look, settings, starting) for name, look in local},
        }

    return attempts


def _openings(_settings: Settings, backends: Backends) -> Mapping[str, Attempt]:
    def opened(row: Backend[Any]) -> Attempt:
        async def attempt() -> Found:
            await backends.open(row.ports[0])
            return Found(backends.chosen(row.ports[0]).description)

        return attempt

    return {row.name: opened(row) for row in BACKENDS if row.migrated}


async def _try(name: str, attempt: Attempt) -> tuple[int, list[Line]]:
    """The exit code of one attempt, and its lines."""
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
        # A check that crashes must not hide the others. Its text may quote a secret, which the log redacts.
        log.debug("check crashed", check=name, exc_info=error)
        unexpected = f"{column} unexpected {type(error).__name__}; FANOUT_LOG_LEVEL=debug shows where"
        return EXIT_FAILED, [Line("bad", unexpected)]
    return 0, [Line("ok", f"{column} {found.good}"), *(Line("weak", f"{column} {text}") for text in found.weak)]
