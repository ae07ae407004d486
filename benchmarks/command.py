"""`fanout bench`: a command for each benchmark case, made from the table of cases."""

import os
from collections.abc import Callable, Iterator
from inspect import Parameter, Signature
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, get_args, get_origin, get_type_hints

import msgspec
import typer
from msgspec.structs import replace
from rich.console import Console
from rich.text import Text

from benchmarks.apart import Progress
from benchmarks.case import Case
from benchmarks.cases import (
    accepting,
    checks,
    churn,
    importing,
    login,
    memberships,
    pipeline,
    route,
    sizing,
    sockets,
    stalls,
    storing,
    unread,
)
from benchmarks.errors import BenchError, NumberError
from benchmarks.render.html import html
from benchmarks.render.terminal import print_report

_MODULES: Final = (
    *(sizing, login, route, churn, accepting, checks, sockets, pipeline, stalls, memberships, storing),
    *(importing, unread),
)
CASES: Final[tuple[Case[Any], ...]] = tuple(module.CASE for module in _MODULES)
"""In the order in which `fanout bench all` runs them."""
_QUICK_HINT: Final = " (of the numbers given, --quick takes a fiftieth, of some a tenth)"
_FAILED, _USAGE, _INTERRUPTED = 1, 2, 130
"""Exit statuses: typer's own for options that cannot be, and the shells' for an interruption."""

app = typer.Typer(
    help="Measure Fanout on this machine: what a size costs, logins, routing, memory, sockets, stalls, stores.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Quick = Annotated[
    bool, typer.Option("--quick", help="A fiftieth of it, also of sizes that are given; there are no targets.")
]
JsonFile = Annotated[Path | None, typer.Option("--json", dir_okay=False, help="Write all figures to this file.")]
_PAGE: Final = "Where the report goes; by default fanout-bench-NAME.html here, or -NAME-quick.html."
HtmlFile = Annotated[Path | None, typer.Option("--html", dir_okay=False, help=_PAGE)]


def measure(
    case: Case[Any], options: msgspec.Struct, html_file: Path | None, json_file: Path | None, *, quick: bool
) -> None:
    """Measure, write the files, and only then print: who reads what is printed may stop reading.

    Raises:
        SystemExit: after a line that says why; code 1 when it could not be measured or written, 2 when a file could
            never be written, and 130 when it was interrupted.
    """
    page = html_file or Path(f"fanout-bench-{case.name}{'-quick' if quick else ''}.html")
    for path in filter(None, (page, json_file)):
        if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
            _fail(f"{path} cannot be written", _USAGE)
    try:
        report = case.measure(case.quick(options) if quick else options, _stages(case.stages))
        if quick:
            report = replace(report, title=f"Quick run, a small part of the work to try it out. {report.title}")
        page.write_text(html(report))
        if json_file:
            json_file.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
        print_report(report)
        Console(highlight=False, soft_wrap=True).print(Text(f"written: {page.resolve()}", style="green"))
    except (BenchError, OSError) as error:
        _fail(f"{error}{_QUICK_HINT if quick and isinstance(error, NumberError) else ''}", _FAILED)
    except KeyboardInterrupt:
        _fail("interrupted, no report was written", _INTERRUPTED)


def _stages(how_many: int) -> Callable[[str], Progress]:
    """A line on standard error for each stage."""
    numbers, err = count(1), Console(stderr=True, highlight=False, soft_wrap=True)

    def stage(title: str) -> Progress:
        err.print(f"{next(numbers)}/{how_many} {title} ...")
        return lambda share, what: None  # noqa: ARG005 - the line has said all

    return stage


def _fail(text: str, code: int) -> NoReturn:
    Console(highlight=False, soft_wrap=True, stderr=True).print(Text.assemble(("error ", "red"), text))
    raise SystemExit(code) from None


def _command(case: Case[Any]) -> Callable[..., None]:
    def run(*, quick: bool, json_file: Path | None, html_file: Path | None, **given: Any) -> None:
        measure(case, _with(case.options(), given), html_file, json_file, quick=quick)

    own = (("quick", Quick, False), ("json_file", JsonFile, None), ("html_file", HtmlFile, None))
    parameters = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        for name, hint, default in (*_options(case.options()), *own)
    ]
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _options(defaults: msgspec.Struct) -> Iterator[tuple[str, Any, Any]]:
    """An option for each field with a description; the fields of a struct within are options as well."""
    for name, hint in get_type_hints(type(defaults), include_extras=True).items():
        default = getattr(defaults, name)
        if isinstance(default, msgspec.Struct):
            yield from _options(default)
        elif get_origin(hint) is Annotated:
            of, meta = get_args(hint)
            yield name, Annotated[of, typer.Option(min=meta.ge, help=meta.description)], default


def _with(options: msgspec.Struct, given: dict[str, Any]) -> msgspec.Struct:
    held = msgspec.structs.asdict(options)
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
        measure(case, case.options(), None, None, quick=quick)
