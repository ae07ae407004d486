"""`fanout bench`: a command for each benchmark case, made from the table of cases."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, get_args, get_origin, get_type_hints

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
_FAILED, _USAGE, _INTERRUPTED = 1, 2, 130
"""Exit statuses: typer's own for options that cannot be, and the shells' for an interruption."""

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
    """Where the report of a benchmark goes: a quick run does not replace that of a full one."""

    name: str
    quick: bool
    json_file: Path | None = None
    html_file: Path | None = None

    @property
    def paths(self) -> dict[str, Path]:
        """By their options."""
        page = self.html_file or Path(f"fanout-bench-{self.name}{'-quick' if self.quick else ''}.html")
        return {"--html": page} | ({"--json": self.json_file} if self.json_file else {})

    def require_writable(self) -> None:
        """Find out before a run of minutes, and not after it.

        Raises:
            SystemExit: a file cannot be written, or both are the same; code 2, after a line that says why.
        """
        for option, path in self.paths.items():
            if reason := _why_not_writable(path):
                _fail(f"{option} {path} cannot be written: {reason}", _USAGE)
        page, *rest = self.paths.values()
        if page.resolve() in [path.resolve() for path in rest]:
            _fail(f"--html and --json are the same file: {page}", _USAGE)

    def write(self, report: Report) -> None:
        """Write it to the files, then print it: who reads what is printed may stop reading.

        Raises:
            SystemExit: a file could not be written, or the report could not be printed; code 1, after a line that says
                why and all the rest.
        """
        contents = [html(report).encode(), msgspec.json.format(msgspec.json.encode(report))]
        failures, written = [], []
        for (option, path), content in zip(self.paths.items(), contents, strict=False):
            try:
                path.write_bytes(content)
                written.append(path)
            except OSError as error:
                failures.append(f"{option} {path} cannot be written: {error.strerror or error}")
        try:
            print_report(report)
            for path in written:
                Console(highlight=False, soft_wrap=True).print(Text(f"written: {path.resolve()}", style="green"))
        except OSError as error:
            failures.append(f"the report cannot be printed: {error.strerror or error}")
        if failures:
            _fail("; ".join(failures), _FAILED)


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
        _fail(f"{error}{_QUICK_HINT if files.quick and isinstance(error, NumbersError) else ''}", _FAILED)
    except KeyboardInterrupt:
        _fail("interrupted, no report was written", _INTERRUPTED)
    if files.quick:
        report = replace(report, title=f"Quick run, a small part of the work to try it out. {report.title}")
    files.write(report)


def _command(case: Case[Any]) -> Callable[..., None]:
    def run(*, quick: bool, json_file: Path | None, html_file: Path | None, **given: Any) -> None:
        measure(case, _with(case.options(), given), Files(case.name, quick, json_file, html_file))

    own = (("quick", Quick, False), ("json_file", JsonFile, None), ("html_file", HtmlFile, None))
    of_case = ((name, hint, default) for name, (hint, default) in _options(case.options()))
    parameters = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        for name, hint, default in (*of_case, *own)
    ]
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _options(defaults: msgspec.Struct) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """An option for each field with a description; the fields of a struct within are options as well."""
    for name, hint in get_type_hints(type(defaults), include_extras=True).items():
        default = getattr(defaults, name)
        if isinstance(default, msgspec.Struct):
            yield from _options(default)
        elif get_origin(hint) is Annotated:
            of, meta = get_args(hint)
            yield name, (Annotated[of, typer.Option(min=meta.ge, help=meta.description)], default)


def _with(options: msgspec.Struct, given: dict[str, Any]) -> msgspec.Struct:
    held = {name: getattr(options, name) for name in options.__struct_fields__}
    inner = {name: _with(value, given) for name, value in held.items() if isinstance(value, msgspec.Struct)}
    return replace(options, **inner, **{name: given[name] for name in held.keys() & given.keys()})


for each in CASES:
    app.command(each.name, help=each.help)(_command(each))


@app.command("all")
def measure_all(*, quick: Quick = False) -> None:
    """Run all of them, one after another, each at its own size and with its report in the folder where it is run.

    Files and sizes cannot be given: for those, run one by one.
    """
    for case in CASES:
        measure(case, case.options(), Files(case.name, quick))


def _fail(text: str, code: int) -> NoReturn:
    Console(highlight=False, soft_wrap=True, stderr=True).print(Text.assemble(("error ", "red"), text))
    raise SystemExit(code) from None


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
