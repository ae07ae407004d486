"""`fanout up` and `fanout serve`: run services until a signal."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from functools import partial
from typing import Annotated, Final, NoReturn

import structlog
import typer
import uvloop

from fanout import FanoutError
from services.cli.client import DEFAULT_URL
from services.cli.lines import complain
from services.composition.running import Services, rows_of, running
from services.composition.services import EVERY_SERVICE, SERVICES
from services.composition.table import BACKENDS
from services.runtime.lifecycle import Process, run_until_stopped, spare_the_loop
from services.runtime.logging import configure_logging
from services.runtime.settings import ConfigurationError, Settings, load_settings
from services.runtime.unknown import unknown_variables

log = structlog.get_logger(__name__)

_ANY_PORT: Final = "(the address that the log names above)"
EXIT_FAILED: Final = 1
EXIT_SETTINGS: Final = 2

ServiceName = StrEnum("ServiceName", {name.replace("-", "_"): name for name in SERVICES})  # type: ignore[misc]


_SERVICES_HELP: Final = "The service. " + "; ".join(f"{name} {each.help}" for name, each in SERVICES.items()) + "."


def up() -> None:
    """Run every service in this process. Without settings it needs no server: data is kept in files.

    Exit code: 0 it was stopped, 1 something failed, 2 the settings are wrong.
    """
    settings = settings_or_exit("up")
    _run(settings, EVERY_SERVICE, alone=True)


def serve(service: Annotated[ServiceName, typer.Argument(help=_SERVICES_HELP)]) -> None:
    """Run one service. Others run in other processes, with the same NATS, Redis and data directory.

    Exit code: 0 it was stopped, 1 something failed, 2 the settings are wrong.
    """
    settings = settings_or_exit(service.value)
    _run(settings, (SERVICES[service.value],), alone=False)


def settings_or_exit(service: str = "") -> Settings:
    """Read the settings and configure logging. Wrong settings are printed to standard error, with exit code 2.

    Args:
        service: the service that this process runs, which its log lines name; empty for a command that runs none.
    """
    try:
        settings = load_settings()
    except ConfigurationError as error:
        for line in unknown_variables():  # the cause may be a name that was misspelt
            complain("weak", line)
        exit_with(error)
    configure_logging(settings.log_format, settings.log_level, service=service)
    return settings


def warnings_of(settings: Settings) -> list[str]:
    """Settings that work but should be changed, and names that no setting has, a line each."""
    return [*settings.warnings(), *unknown_variables()]


def exit_with(error: FanoutError) -> NoReturn:
    """Print what is wrong and end with an exit code: 2 for wrong settings, 1 for anything else."""
    wrong = isinstance(error, ConfigurationError)
    lines = error.lines if isinstance(error, ConfigurationError) else [str(error)]
    for line in lines:
        complain("error", line)
    raise typer.Exit(EXIT_SETTINGS if wrong else EXIT_FAILED)


def next_steps(settings: Settings) -> list[str]:
    """The addresses of the services and some next steps, a line each, for a person at a terminal."""
    url = f"http://{settings.listen.from_here()}" if settings.listen.port else _ANY_PORT
    option = "" if url == DEFAULT_URL else f" --url {url}"
    return [
        f"REST       {url}",
        f"WebSocket  {settings.public_ws_url() if settings.ws_url or settings.ws_listen.port else _ANY_PORT}",
        f"Data       {settings.data_dir.absolute()}",
        f"Next       fanout listen bob{option} (in another terminal, its environment activated); Ctrl-C here stops",
    ]


def _run(settings: Settings, services: Services, *, alone: bool) -> None:
    for line in warnings_of(settings):
        log.warning(line)
    log.info("backends", chosen=_chosen(settings, services, alone=alone), data_dir=str(settings.data_dir.absolute()))
    grace_s = settings.drain_grace_s if any(service.serves_rest for service in services) else 0.0
    started = partial(_running, settings, services=services, alone=alone)
    spare_the_loop()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_until_stopped(started, drain_timeout_s=settings.drain_timeout_s, grace_s=grace_s))
    except FanoutError as error:
        exit_with(error)
    log.info("stopped")


def _chosen(settings: Settings, services: Services, *, alone: bool) -> list[str]:
    rows = rows_of(services, BACKENDS)
    try:
        return [f"{row.name}: {row.adapter(settings, alone=alone).description}" for row in rows]
    except ConfigurationError as error:
        exit_with(error)


@asynccontextmanager
async def _running(settings: Settings, process: Process, services: Services, *, alone: bool) -> AsyncIterator[None]:
    async with running(settings, process, services, BACKENDS, alone=alone):
        if alone and sys.stdout.isatty():
            for line in next_steps(settings):
                typer.echo(line)
        yield
