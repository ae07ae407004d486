"""What all commands of `fanout bench` share: their options, where reports go, and what is said when there is none."""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec
import typer
from msgspec.structs import replace

from benchmarks.errors import BenchError, NumbersError
from benchmarks.render.html import html
from benchmarks.render.terminal import print_report, stages_shown
from benchmarks.report import Report
from benchmarks.stages import Stages
from services.cli.lines import complain, say

app = typer.Typer(
    help="Measure Fanout on this machine: what a size costs, logins, routing, memory, sockets, the pipeline, stalls.",
    no_args_is_help=True,
)

Command = TypeVar("Command", bound=Callable[..., None])

_QUICK_HINT: Final = " (of the numbers given, --quick takes a fiftieth, of some a tenth)"
_USAGE: Final = 2
"""The exit status of typer itself for options that cannot be."""
_INTERRUPTED: Final = 130
"""As shells have it."""


@dataclass(frozen=True)
class Files:
    """Where the report of a benchmark goes."""

    name: str
    quick: bool
    json_file: Path | None
    html_file: Path | None

    @property
    def page(self) -> Path:
        """The report for people: a quick run does not replace that of a full one."""
        return self.html_file or Path(f"fanout-bench-{self.name}{'-quick' if self.quick else ''}.html")

    def require_writable(self) -> None:
        """Find out before a run of minutes, and not after it.

        Raises:
            SystemExit: a file cannot be written, or both are the same; code 2, after a line that says why.
        """
        for option, path in (("--html", self.page), ("--json", self.json_file)):
            if path is not None and (reason := _why_not_writable(path)):
                complain("error", f"{option} {path} cannot be written: {reason}")
                raise SystemExit(_USAGE)
        if self.json_file is not None and self.json_file.resolve() == self.page.resolve():
            complain("error", f"--html and --json are the same file: {self.page}")
            raise SystemExit(_USAGE)

    def write(self, report: Report) -> None:
        """Write it to the files, then print it: who reads what is printed may stop reading.

        Raises:
            SystemExit: a file could not be written, or it could not be printed; code 1, after a line that says why and
                all the rest.
        """
        written = {"report": _written("--html", self.page, html(report).encode())}
        if self.json_file is not None:
            figures = msgspec.json.format(msgspec.json.encode(report))
            written["figures"] = _written("--json", self.json_file, figures)
        if not _printed(report, written) or None in written.values():
            raise SystemExit(1)


def _written(option: str, path: Path, content: bytes) -> Path | None:
    """The path, or none after a line that says why."""
    try:
        path.write_bytes(content)
    except OSError as error:
        complain("error", f"{option} {path} cannot be written: {error.strerror or error}")
        return None
    return path


def _printed(report: Report, written: dict[str, Path | None]) -> bool:
    """Whether it could be, with where the files are; if not, after a line that says why.

    Raises:
        SystemExit: nobody reads on; code 1, and nothing is said.
    """
    try:
        print_report(report)
        for what, path in written.items():
            if path is not None:
                say("ok", f"{what}: {path.resolve()}")
    except OSError as error:
        complain("error", f"the report cannot be printed: {error.strerror or error}")
        return False
    return True


def _why_not_writable(path: Path) -> str | None:
    """By opening it, since permissions do not say all; a file that was not there is not left behind."""
    new = not path.exists()
    try:
        path.open("ab").close()
    except OSError as error:
        return error.strerror or str(error)
    if new:
        path.unlink()
    return None


Quick = Annotated[
    bool, typer.Option("--quick", help="A fiftieth of it, also of sizes that are given; targets are not judged.")
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")]
HtmlFile = Annotated[
    Path | None,
    typer.Option("--html", help="Where the report goes; by default fanout-bench-NAME.html here, or -NAME-quick.html."),
]


def command(name: str) -> Callable[[Command], Command]:
    """Of the application; typer itself would keep the line breaks of a docstring's later paragraphs."""

    def register(command: Command) -> Command:
        paragraphs = cleandoc(command.__doc__ or "").split("\n\n")
        app.command(name, help="\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs))(command)
        return command

    return register


def show(bench: Callable[[Stages], Report], how_many: int, files: Files) -> None:
    """Measure, write, print.

    Args:
        bench: what measures.
        how_many: stages it has.
        files: where its report goes.

    Raises:
        SystemExit: after a line that says why; code 2, as for other options that cannot be, when a file cannot be
            written, 1 when it could not be measured or written, and 130 when it was interrupted.
    """
    files.require_writable()
    try:
        with stages_shown(how_many) as stages:
            report = bench(stages)
    except BenchError as error:
        complain("error", f"{error}{_QUICK_HINT if files.quick and isinstance(error, NumbersError) else ''}")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        complain("error", "interrupted, no report was written")
        raise SystemExit(_INTERRUPTED) from None
    if files.quick:
        report = replace(report, title=f"Quick run, a small part of the work to try it out. {report.title}")
    files.write(report)
