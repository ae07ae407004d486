"""The command `fanout` and its sub-commands."""

from importlib.metadata import EntryPoint, entry_points, version
from typing import Annotated, Final

import typer

from services.cli import check, client, run

app = typer.Typer(
    help="Fanout: the real-time tier of a chat platform.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command()(run.up)
app.command()(run.serve)
app.command()(check.check)
app.command()(check.migrate)
app.command()(client.token)
app.command()(client.send)
app.command()(client.listen)

_COMMANDS: Final = "fanout.commands"
"""Entry points of other packages: each is a `typer.Typer`, imported when its command is called and not before."""


def _add(entry_point: EntryPoint) -> None:
    name, as_it_is = entry_point.name, {"ignore_unknown_options": True, "allow_extra_args": True}

    @app.command(name, help=f"fanout {name} --help explains.", add_help_option=False, context_settings=as_it_is)
    def run_it(context: typer.Context) -> None:
        entry_point.load()(context.args, prog_name=f"fanout {name}")


for each in entry_points(group=_COMMANDS):
    _add(each)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        typer.echo(f"fanout {version('fanout')}")
        raise typer.Exit


@app.callback()
def main(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Set nothing here: settings come from the environment, prefix FANOUT_, and from `.env`."""
