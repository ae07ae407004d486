"""`fanout up` and `fanout serve`: run services until a signal."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
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
from services.composition.deployment import EVERYTHING, SERVICES, Deployment, Starter, running
from services.runtime.lifecycle import Process, run_until_stopped, spare_the_loop
from services.runtime.logging import configure_logging
from services.runtime.settings import ConfigurationError, Settings, load_settings
from services.runtime.unknown import unknown_variables

log = structlog.get_logger(__name__)

_ANY_PORT: Final = "(the address that the log names above)"
EXIT_FAILED: Final = 1
EXIT_SETTINGS: Final = 2

ServiceName = StrEnum("ServiceName", {name.replace("-", "_"): name for name in SERVICES})  # type: ignore[misc]


def up() -> None:
    """Run every service in this process; what is not configured runs embedded.

    Exit code: 0 it was stopped, 1 something failed, 2 the settings are bad.
    """
    settings = settings_or_exit("up")
    embedded = [name for name, url in (("log and bus", settings.nats_url), ("presence", settings.redis_url)) if not url]
    _run(settings, EVERYTHING, embedded, alone=True)


def serve(service: Annotated[ServiceName, typer.Argument(help="Which service.")]) -> None:
    """Run one service, beside others that share its NATS, Redis and data.

    Exit code: 0 it was stopped, 1 something failed, 2 the settings are bad.
    """
    settings = settings_or_exit(service.value)
    _run(settings, SERVICES[service.value], [], alone=False)


def settings_or_exit(service: str = "") -> Settings:
    """The settings, or their errors on standard error and exit code 2.

    Args:
        service: that this process runs, if any; its log lines name it.
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
    """What can be run with but should not be, and names that were misspelt, a line each."""
    return [*settings.warnings(), *unknown_variables()]


def exit_with(error: FanoutError) -> NoReturn:
    """Say what is wrong and end: 2 for a configuration that cannot be run with, 1 for anything else."""
    wrong = isinstance(error, ConfigurationError)
    lines = error.lines if isinstance(error, ConfigurationError) else [str(error)]
    for line in lines:
        complain("error", line)
    raise typer.Exit(EXIT_SETTINGS if wrong else EXIT_FAILED)


def next_steps(settings: Settings) -> list[str]:
    """What whoever started everything on a terminal may want to know, a line each."""
    url = f"http://{settings.listen.from_here()}" if settings.listen.port else _ANY_PORT
    option = "" if url == DEFAULT_URL else f" --url {url}"
    return [
        f"REST       {url}",
        f"WebSocket  {settings.public_ws_url() if settings.ws_url or settings.ws_listen.port else _ANY_PORT}",
        f"Data       {settings.data_dir.absolute()}",
        f"Next       fanout listen bob{option} (in another terminal, its environment activated); Ctrl-C here stops",
    ]


def _run(settings: Settings, starters: Sequence[Starter], embedded: list[str], *, alone: bool) -> None:
    for line in warnings_of(settings):
        log.warning(line)
    parts = [*embedded, "memberships in SQLite", "messages in SQLite"]
    log.info("embedded, for one machine", parts=parts, data_dir=str(settings.data_dir.absolute()))
    grace_s = settings.drain_grace_s if Deployment.start_gateway in starters else 0.0
    services = partial(_running, settings, starters=tuple(starters), alone=alone)
    spare_the_loop()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_until_stopped(services, drain_timeout_s=settings.drain_timeout_s, grace_s=grace_s))
    except FanoutError as error:
        exit_with(error)
    log.info("stopped")


@asynccontextmanager
async def _running(
    settings: Settings, process: Process, starters: tuple[Starter, ...], *, alone: bool
) -> AsyncIterator[None]:
    async with running(settings, process, starters, alone=alone):
        if alone and sys.stdout.isatty():
            for line in next_steps(settings):
                typer.echo(line)
        yield
