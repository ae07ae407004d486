"""The command `fanout`: its own sub-commands, and those of entry points, which are imported when they are used."""

from typing import Annotated

import typer

from fanout import __version__
from services.cli import check, client, importing, run
from services.cli.plugins import PluginGroup

app = typer.Typer(
    cls=PluginGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command()(run.up)
app.command()(run.serve)
app.command()(check.check)
app.command()(check.migrate)
app.add_typer(importing.app, name="import")
app.command()(client.token)
app.command()(client.send)
app.command()(client.listen)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        typer.echo(f"fanout {__version__}")
        raise typer.Exit


@app.callback()
def main(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Fanout is the real-time tier of a chat platform: it delivers each message to all members of its channel.

    Settings are environment variables that begin with FANOUT_, or lines of a file .env in the working directory.
    `fanout check` lists them all.
    """
