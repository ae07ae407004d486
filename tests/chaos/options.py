"""The options of a storm: what each means, and which can be."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from tests.chaos.scenario import Scenario

MEANINGS = {
    "messages": "messages to publish, at least 1",
    "channels": "channels that there are, at least 1",
    "workers": "fan-out workers at the beginning, at least 1; at most one more lives at a time",
    "instances": "instances of the notification service, at least 1",
    "clients": "clients, at least 1",
    "channels_each": "channels of each user, from 1 to --channels",
    "change_every": "seconds, on average, from one worker that dies or comes to the next, above 0",
    "instance_kills": "times that an instance is killed and started again, spread over the messages; 0 for never",
    "nats_restarts": "times that nats-server is restarted, spread over the messages; 0 for never",
    "drop": "share of the messages to instances that is lost on the way, from 0 to below 1: 0.01 is one in a hundred",
    "rate": "messages published per second at most, above 0",
    "ahead": "receipts that may be outstanding before publishing waits, at least 0",
    "seed": "any number: the same makes the same storm, but for its timing",
}
"""Of each field of `Scenario`, with its unit."""
_AT_LEAST = {"messages": 1, "channels": 1, "workers": 1, "instances": 1, "clients": 1, "channels_each": 1}
_ABOVE_ZERO = ("change_every", "rate")
_NOT_BELOW_ZERO = ("instance_kills", "nats_restarts", "ahead")


def read(arguments: Sequence[str] | None, description: str | None) -> tuple[Scenario, Path | None]:
    """The storm that is asked for, and the folder that is to keep its journals.

    Args:
        arguments: of the command line; by default this process's.
        description: for `--help`.

    Raises:
        SystemExit: it cannot be, with code 2 after a line that says why; or only help was wanted.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.storm",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for option in fields(Scenario):
        parser.add_argument(
            _name(option.name),
            type=type(option.default),
            default=option.default,
            metavar="N",
            help=f"{MEANINGS[option.name]} (default: %(default)s)",
        )
    parser.add_argument(
        "--folder",
        type=Path,
        help="where journals and logs go and stay, a new folder or an empty one (default: they stay only after a "
        "storm that was not good)",
    )
    values = vars(parser.parse_args(arguments))
    folder: Path | None = values.pop("folder")
    scenario = Scenario(**values)
    why_not = next(_whys(scenario), None) or (_why_not_there(folder) if folder else None)
    if why_not is not None:
        parser.exit(2, f"error: {why_not}\n")
    return scenario, folder


def _name(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def _whys(scenario: Scenario) -> Iterator[str]:
    """What cannot be, if anything."""
    for field, least in _AT_LEAST.items():
        if (value := getattr(scenario, field)) < least:
            yield f"{_name(field)} {value} is too few: at least {least}"
    for field in _ABOVE_ZERO:
        if not 0 < (value := getattr(scenario, field)) < float("inf"):
            yield f"{_name(field)} {value:g} cannot be: it must be above 0, and finite"
    for field in _NOT_BELOW_ZERO:
        if (value := getattr(scenario, field)) < 0:
            yield f"{_name(field)} {value} cannot be: it must not be below 0"
    if not 0 <= scenario.drop < 1:
        yield f"--drop {scenario.drop:g} cannot be: it is a share, from 0 to below 1"
    if scenario.channels_each > scenario.channels:
        yield f"--channels-each {scenario.channels_each} are more than there are: --channels {scenario.channels}"


def _why_not_there(folder: Path) -> str | None:
    """By making it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = any(folder.iterdir())
    except OSError as error:
        return f"--folder {folder} cannot be made: {error.strerror or error}"
    return f"--folder {folder} is not empty: journals of two storms cannot be told apart" if taken else None
