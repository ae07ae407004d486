"""`fanout bench`: a command for each benchmark case, made from the table of cases."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import msgspec
import typer
from msgspec.structs import replace
from rich.console import Console
from rich.text import Text

from benchmarks.case import Case
from benchmarks.cases import CASES
from benchmarks.errors import BenchError, NumbersError
from benchmarks.render.html import html
from benchmarks.render.terminal import print_report, stages_shown
from benchmarks.report import Report

_QUICK_HINT: Final = " (of the numbers given, --quick takes a fiftieth, of some a tenth)"
_USAGE: Final = 2
"""The exit status of typer itself for options that cannot be."""
_INTERRUPTED: Final = 130
"""As shells have it."""

app = typer.Typer(
    help="Measure Fanout on this machine: what a size costs, logins, routing, memory, sockets, the pipeline, stalls.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Quick = Annotated[
    bool, typer.Option("--quick", help="A fiftieth of it, also of sizes that are given; targets are not judged.")
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")]
HtmlFile = Annotated[
    Path | None,
    typer.Option("--html", help="Where the report goes; by default fanout-bench-NAME.html here, or -NAME-quick.html."),
]


@dataclass(frozen=True)
class Files:
    """Where the report of a benchmark goes."""

    name: str
    quick: bool
    json_file: Path | None = None
    html_file: Path | None = None

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
                _complain(f"{option} {path} cannot be written: {reason}", _USAGE)
        if self.json_file is not None and self.json_file.resolve() == self.page.resolve():
            _complain(f"--html and --json are the same file: {self.page}", _USAGE)

    def write(self, report: Report) -> None:
        """Write it to the files, then print it: who reads what is printed may stop reading.

        Raises:
            SystemExit: a file could not be written, or the report could not be printed; code 1, after a line that says
                why and all the rest.
        """
        written = {"report": _written("--html", self.page, html(report).encode())}
        if self.json_file is not None:
            encoded = msgspec.json.format(msgspec.json.encode(report))
            written["figures"] = _written("--json", self.json_file, encoded)
        if not _printed(report, written) or None in written.values():
            raise SystemExit(1)


def measure(case: Case[Any], options: msgspec.Struct, files: Files) -> None:
    """Measure, write, print.

    Raises:
        SystemExit: after a line that says why; code 2, as for other options that cannot be, when a file cannot be
            written, 1 when it could not be measured or written, and 130 when it was interrupted.
    """
    files.require_writable()
    try:
        with stages_shown(case.stages) as stages:
            report = case.measure(case.quick(options) if files.quick else options, stages)
    except BenchError as error:
        _complain(f"{error}{_QUICK_HINT if files.quick and isinstance(error, NumbersError) else ''}", 1)
    except KeyboardInterrupt:
        _complain("interrupted, no report was written", _INTERRUPTED)
    if files.quick:
        report = replace(report, title=f"Quick run, a small part of the work to try it out. {report.title}")
    files.write(report)


def _command(case: Case[Any]) -> Callable[..., None]:
    def run(*, quick: bool, json_file: Path | None, html_file: Path | None, **given: Any) -> None:
        measure(case, _with(case.options(), given), Files(case.name, quick, json_file, html_file))

    own = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=option) for name, option, default in _OWN
    ]
    parameters = [*_parameters(case.options()), *own]
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


_OWN: Final = (("quick", Quick, False), ("json_file", JsonFile, None), ("html_file", HtmlFile, None))


def _parameters(defaults: msgspec.Struct) -> Iterator[Parameter]:
    """An option for each field with a description; the fields of a struct within are options as well."""
    for name, hint in get_type_hints(type(defaults), include_extras=True).items():
        default = getattr(defaults, name)
        if isinstance(default, msgspec.Struct):
            yield from _parameters(default)
        elif get_origin(hint) is Annotated:
            of, meta = get_args(hint)
            option = typer.Option(min=meta.ge, help=meta.description)
            yield Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[of, option])


def _with(options: msgspec.Struct, given: dict[str, Any]) -> msgspec.Struct:
    changed: dict[str, Any] = {}
    for name in options.__struct_fields__:
        held = getattr(options, name)
        if isinstance(held, msgspec.Struct):
            changed[name] = _with(held, given)
        elif name in given:
            changed[name] = given[name]
    return replace(options, **changed)


for each in CASES:
    app.command(each.name, help=each.help)(_command(each))


@app.command("all")
def measure_all(*, quick: Quick = False) -> None:
    """Run all of them, one after another, each at its own size and with its report in the folder where it is run.

    Files and sizes cannot be given: for those, run one by one.
    """
    for case in CASES:
        measure(case, case.options(), Files(case.name, quick))


def _complain(text: str, code: int | None = None) -> Any:
    line = Text.assemble(("error ", "red"), text)
    Console(highlight=False, soft_wrap=True, stderr=True).print(line)
    if code is not None:
        raise SystemExit(code) from None


def _written(option: str, path: Path, content: bytes) -> Path | None:
    """The path, or none after a line that says why."""
    try:
        path.write_bytes(content)
    except OSError as error:
        _complain(f"{option} {path} cannot be written: {error.strerror or error}")
        return None
    return path


def _printed(report: Report, written: dict[str, Path | None]) -> bool:
    """Whether it could be, with where the files are; if not, after a line that says why."""
    try:
        print_report(report)
        out = Console(highlight=False, soft_wrap=True)
        for what, path in written.items():
            if path is not None:
                out.print(Text.assemble(("ok    ", "green"), f"{what}: {path.resolve()}"))
    except OSError as error:
        _complain(f"the report cannot be printed: {error.strerror or error}")
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
