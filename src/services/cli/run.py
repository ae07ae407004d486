"""`fanout up` and `fanout serve`: run services until a signal."""

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from typing import Annotated, NoReturn

import structlog
import typer
import uvloop
from rich.console import Console

from fanout import FanoutError
from services.composition.deployment import EVERYTHING, SERVICES, Starter, running
from services.runtime.lifecycle import run_until_stopped
from services.runtime.logging import configure_logging
from services.runtime.settings import ConfigurationError, Settings, load_settings

log = structlog.get_logger(__name__)

complain = Console(stderr=True, highlight=False, soft_wrap=True).print

ServiceName = StrEnum("ServiceName", {name.replace("-", "_"): name for name in SERVICES})  # type: ignore[misc]


def up() -> None:
    """Run every service in this process; what is not configured runs embedded."""
    settings = settings_or_exit()
    _say_what_is_embedded(settings)
    _run(settings, EVERYTHING, alone=True)


def serve(service: Annotated[ServiceName, typer.Argument(help="Which service.")]) -> None:
    """Run one service, beside others that share its NATS, Redis and data."""
    settings = settings_or_exit()
    _run(settings, SERVICES[service.value], alone=False)


def settings_or_exit() -> Settings:
    """The settings, or their errors on standard error and exit code 2."""
    try:
        settings = load_settings()
    except ConfigurationError as error:
        exit_with(error)
    configure_logging(settings.log_format, settings.log_level)
    return settings


def exit_with(error: FanoutError) -> NoReturn:
    """Say what is wrong and end: 2 for a configuration that cannot be run with, 1 for anything else."""
    wrong = isinstance(error, ConfigurationError)
    lines = error.lines if isinstance(error, ConfigurationError) else [str(error)]
    for line in lines:
        complain(f"[red]error[/red]  {line}", markup=True)
    raise typer.Exit(2 if wrong else 1)


def _run(settings: Settings, starters: Sequence[Starter], *, alone: bool) -> None:
    for line in settings.warnings():
        log.warning(line)
    services = partial(running, settings, starters=tuple(starters), alone=alone)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_until_stopped(services, drain_timeout_s=settings.drain_timeout_s))
    except FanoutError as error:
        exit_with(error)
    log.info("stopped")


def _say_what_is_embedded(settings: Settings) -> None:
    embedded = [name for name, url in (("log and bus", settings.nats_url), ("presence", settings.redis_url)) if not url]
    kept_in = str(settings.data_dir)
    log.info("embedded, for one machine", parts=[*embedded, "memberships", "messages"], data_dir=kept_in)
