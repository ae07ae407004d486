"""`fanout check` and `fanout migrate`: the configuration and each dependency, a line each."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Final

import structlog
import typer

from fanout import FanoutError
from services.cli.inspection import Inspection
from services.cli.lines import say
from services.cli.run import EXIT_FAILED, EXIT_SETTINGS, settings_or_exit, warnings_of
from services.composition.backends import Backends
from services.runtime.health import Health
from services.runtime.settings import ConfigurationError, Settings

CHECK_WITHIN_S: Final = 15.0
_NAME_WIDTH: Final = 12

log = structlog.get_logger(__name__)

Attempt = Callable[[], Awaitable[str]]
"""Returns what is good, in words; raises what is not."""


def check() -> None:
    """Say of each setting and each dependency whether it is good. Nothing is made or changed.

    Exit code: 0 all is good, 1 a dependency is bad, 2 the settings are.
    """
    settings = settings_or_exit()
    for variable, shown in settings.described():
        say("ok", f"{variable}={shown}")
    for line in [*warnings_of(settings), *_missing_to_serve(settings)]:
        say("weak", line)
    _exit(asyncio.run(_try_each(settings, _inspections)))


def migrate() -> None:
    """Create what the stores and the log need: files, schemas, streams, a secret. What is there stays.

    Exit code: 0 all is there, 1 a dependency is bad, 2 the settings are.
    """
    settings = settings_or_exit()
    _exit(asyncio.run(_try_each(settings, _openings)))


def _missing_to_serve(settings: Settings) -> list[str]:
    if settings.nats_url and settings.redis_url and not (settings.jwt_secret or settings.jwks_url):
        return ["tokens: fanout serve needs FANOUT_JWT_SECRET or FANOUT_JWKS_URL; fanout up does not"]
    return []


async def _try_each(settings: Settings, attempts: Callable[[Settings, Backends], Mapping[str, Attempt]]) -> int:
    async with AsyncExitStack() as stack:
        backends = Backends(settings, Health(), stack, alone=True)
        return max([await _try(name, attempt) for name, attempt in attempts(settings, backends).items()])


def _inspections(settings: Settings, backends: Backends) -> Mapping[str, Attempt]:
    inspection = Inspection(settings, backends)
    return {
        "log": inspection.log,
        "bus": inspection.bus,
        "presence": inspection.presence,
        "memberships": inspection.memberships,
        "messages": inspection.messages,
        "tokens": inspection.tokens,
    }


def _openings(settings: Settings, backends: Backends) -> Mapping[str, Attempt]:
    def opened(what: str, open_it: Callable[[], Awaitable[object]]) -> Attempt:
        async def attempt() -> str:
            await open_it()
            return what

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


async def _try(name: str, attempt: Attempt) -> int:
    """Say how it went, in a line, and return the exit code that it stands for."""
    column = name.ljust(_NAME_WIDTH)
    try:
        async with asyncio.timeout(CHECK_WITHIN_S):
            said = await attempt()
    except TimeoutError:
        say("bad", f"{column} no answer within {CHECK_WITHIN_S:g} s")
    except FanoutError as error:
        say("bad", f"{column} {error}")
        return EXIT_SETTINGS if isinstance(error, ConfigurationError) else EXIT_FAILED
    except Exception as error:
        # One that crashes must not hide what the others find. Its text may quote a secret; the log redacts.
        say("bad", f"{column} unexpected {type(error).__name__}; FANOUT_LOG_LEVEL=debug shows where")
        log.debug("check crashed", check=name, exc_info=error)
    else:
        say("ok", f"{column} {said}")
        return 0
    return EXIT_FAILED


def _exit(code: int) -> None:
    if code:
        raise typer.Exit(code)
