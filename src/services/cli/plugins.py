"""Sub-commands that other parts of the installation add, by entry points. Each is imported when it is used."""

from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperGroup

from services.cli.lines import complain

if TYPE_CHECKING:
    from collections.abc import Iterable

GROUP: Final = "fanout.commands"
"""The group of the entry points: the name is that of the sub-command, the object a `typer.Typer`."""


class PluginGroup(TyperGroup):
    """The command `fanout`: its own sub-commands, and those of the entry points."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, its own first; nothing is imported."""
        own = super().list_commands(ctx)
        return [*own, *sorted(point.name for point in _points() if point.name not in own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The sub-command of a name, imported if need be; None where there is none."""
        own = super().get_command(ctx, cmd_name)
        return own or next((_loaded(point) for point in _points() if point.name == cmd_name), None)


def _points() -> "Iterable[EntryPoint]":
    return entry_points(group=GROUP)


def _loaded(point: EntryPoint) -> Any:
    try:
        command = typer.main.get_group(point.load())
    except Exception as error:  # noqa: BLE001 - a broken plug-in, whatever is wrong with it, must not hide the other commands
        complain("weak", f"the command {point.name} cannot be loaded from {point.value}: {error}")
        return None
    command.name = point.name
    return command
