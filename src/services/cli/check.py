"""`fanout check` and `fanout migrate`: the configuration and each dependency, a line each."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import typer
from rich.console import Console

from fanout import FanoutError
from services.cli.run import settings_or_exit
from services.composition.backends import Backends
from services.runtime.health import Health
from services.runtime.settings import Settings

CHECK_WITHIN_S = 15.0

_say = Console(highlight=False, soft_wrap=True).print


def check() -> None:
    """Say of each setting and each dependency whether it is good; exit code 1 when one is not."""
    settings = settings_or_exit()
    for variable, shown in settings.described():
        _say(f"[green]ok[/green]    {variable}={shown}")
    for line in settings.warnings():
        _say(f"[yellow]weak[/yellow]  {line}")
    if not asyncio.run(_open_each(settings)):
        raise typer.Exit(1)


def migrate() -> None:
    """Create what the stores and the log need: schemas, indexes, streams. What is there stays."""
    settings = settings_or_exit()
    if not asyncio.run(_open_each(settings)):
        raise typer.Exit(1)


async def _open_each(settings: Settings) -> bool:
    health = Health()
    async with AsyncExitStack() as stack:
        backends = Backends(settings, health, stack, alone=True)
        results = [
            await _try(f"log          {_where(settings.nats_url, 'NATS JetStream')}", backends.log),
            await _try(f"bus          {_where(settings.nats_url, 'NATS')}", backends.bus),
            await _try(f"presence     {_where(settings.redis_url, 'Redis')}", backends.presence),
            await _try("memberships  SQLite, embedded", backends.memberships),
            await _try("messages     SQLite, embedded", backends.messages),
            await _try(f"tokens       {_tokens(settings)}", _authenticator(backends)),
        ]
    return all(results)


def _authenticator(backends: Backends) -> Callable[[], Awaitable[object]]:
    async def build() -> object:
        return backends.authenticator()

    return build


async def _try(name: str, open_it: Callable[[], Awaitable[object]]) -> bool:
    try:
        async with asyncio.timeout(CHECK_WITHIN_S):
            await open_it()
    except TimeoutError:
        _say(f"[red]bad[/red]   {name}: no answer within {CHECK_WITHIN_S:g} s")
    except FanoutError as error:
        _say(f"[red]bad[/red]   {name}: {error}")
    else:
        _say(f"[green]ok[/green]    {name}")
        return True
    return False


def _where(url: str | None, server: str) -> str:
    return server if url else "embedded"


def _tokens(settings: Settings) -> str:
    algorithms = ", ".join(settings.jwt_algorithms)
    if settings.jwks_url:
        return f"{algorithms} by JWKS"
    return algorithms if settings.jwt_secret else f"{algorithms} by an embedded secret"
