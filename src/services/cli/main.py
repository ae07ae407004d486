"""The command `fanout` and its sub-commands."""

from importlib.metadata import version
from typing import Annotated

import typer

from services.cli import bench, check, client, run

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
app.add_typer(bench.app, name="bench")


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
