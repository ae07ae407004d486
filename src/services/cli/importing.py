"""`fanout import channels` and `fanout import memberships`."""

import asyncio
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console

from fanout import FanoutError
from fanout.ids import check_id
from services.cli.import_screen import ImportScreen, counts
from services.cli.lines import complain, say
from services.cli.run import exit_with, settings_or_exit
from services.composition.importing import STDIN, Format, ImportOptions, RowKind, run_import
from services.importing.importer import ImportStopped
from services.importing.pacing import NothingPublishes

EXIT_INTERRUPTED: Final = 130

app = typer.Typer(
    no_args_is_help=True,
    help="Load channels and memberships from JSON Lines or Parquet. An import that is interrupted goes on where it "
    "was, when the same command is run again.",
)

File = Annotated[Path, typer.Argument(help="The file; - for standard input, which cannot go on after an interruption.")]
FileFormat = Annotated[
    Format | None, typer.Option("--format", help="The format, if the file's name does not say it; .gz is unpacked.")
]
Skip = Annotated[
    bool, typer.Option("--skip-errors", help="Report rows that cannot be imported, and import the others.")
]
Restart = Annotated[
    bool, typer.Option("--restart", help="Begin at the beginning, although an earlier run came further.")
]


@app.command()
def channels(
    file: File, file_format: FileFormat = None, *, skip_errors: Skip = False, restart: Restart = False
) -> None:
    """Create channels. A channel that exists stays as it is.

    A row has channel_id, name and created_by, and may have private (false) and created_at (RFC 3339).

    Exit code: 0 everything was imported, or skipped as asked; 1 it was not; 2 the settings are wrong.
    """
    _run(ImportOptions(kind=RowKind.CHANNELS, file=file, format=file_format, skip=skip_errors, restart=restart))


@app.command()
def memberships(
    file: File,
    *,
    file_format: FileFormat = None,
    skip_errors: Skip = False,
    restart: Restart = False,
    rate: Annotated[
        int, typer.Option(min=1, help="The most memberships that begin in a second while services run.")
    ] = ImportOptions.per_second,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline",
            help="No service runs: write at full speed, and tell nobody. Delete the fan-out workers' snapshots first.",
        ),
    ] = False,
    create_channels: Annotated[
        str,
        typer.Option(
            metavar="USER", help="Create the channels that do not exist, as private ones that this user created."
        ),
    ] = "",
) -> None:
    """Make users members of channels. Who is a member already stays one.

    A row has channel_id and user_id, and may have joined_at (RFC 3339).

    Exit code: 0 everything was imported and published, or skipped as asked; 1 it was not; 2 the settings are wrong.
    """
    try:
        owner = check_id(create_channels, "--create-channels") if create_channels else None
    except FanoutError as error:
        exit_with(error)
    _run(
        ImportOptions(
            kind=RowKind.MEMBERSHIPS,
            file=file,
            format=file_format,
            skip=skip_errors,
            restart=restart,
            offline=offline,
            per_second=rate,
            owner=owner,
        )
    )


def _run(options: ImportOptions) -> None:
    settings = settings_or_exit()
    screen = ImportScreen(str(options.file), Console(stderr=True, highlight=False, soft_wrap=True))
    try:
        with screen:
            tally = asyncio.run(run_import(settings, options, screen))
    except KeyboardInterrupt:
        _fail(options, "interrupted", EXIT_INTERRUPTED)
    except NothingPublishes as error:
        _fail(options, f"{error}, and no gateway publishes them: start one; if no service runs, use --offline")
    except ImportStopped as error:
        complain("error", f"{error}; correct it, or use --skip-errors")
        raise typer.Exit(1) from None
    except FanoutError as error:
        exit_with(error)
    say("ok", f"{options.kind}: {counts(tally)}")


def _fail(options: ImportOptions, what: str, code: int = 1) -> NoReturn:
    again = "" if options.file == STDIN else "; the same command goes on from there"
    complain("error", f"{what}{again}")
    raise typer.Exit(code)
