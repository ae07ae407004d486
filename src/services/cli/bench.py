"""`fanout bench`: size hardware, and see the engine's figures beside their targets."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from benchmarks.errors import BenchError
from benchmarks.population import Population
from benchmarks.render.html import html
from benchmarks.render.terminal import print_report, stages_shown
from benchmarks.report import Report
from benchmarks.reports.churn import ChurnOptions, churn
from benchmarks.reports.framing import SPEC
from benchmarks.reports.login import FULL_VISIT, LoginOptions, login
from benchmarks.reports.route import RouteOptions, route
from benchmarks.reports.sizing import SizingOptions, sizing
from benchmarks.stages import Stages
from services.cli.lines import complain, say

app = typer.Typer(
    help="Measure the engine on this machine: what a size costs, logins, routing, and whether memory comes back.",
    no_args_is_help=True,
)

QUICK_FRACTION: Final = 1 / 50
_QUICK_LOOKUPS: Final = 200_000
_QUICK_ROUNDS: Final = 3
_QUICK_SECONDS: Final = 0.6
_QUICK_ROUTE_SECONDS: Final = 0.05

Users = Annotated[int, typer.Option(min=1, help="Users online.")]
Channels = Annotated[int, typer.Option(min=1, help="Channels, each with at least one member.")]
Memberships = Annotated[int, typer.Option(min=1, help="Memberships of all users together.")]
Instances = Annotated[int, typer.Option(min=1, help="Server instances over which the users are spread.")]
Skew = Annotated[float, typer.Option(min=0.0, help="How unequal channels are: 0 all alike, 1 a few have most members.")]
Quick = Annotated[bool, typer.Option("--quick", help="A fiftieth of it, for trying out; targets are not judged.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")]
HtmlFile = Annotated[
    Path | None, typer.Option("--html", help="Where the report goes; by default fanout-bench-NAME.html, here.")
]


@app.command("sizing")
def bench_sizing(
    *,
    users: Users = SPEC.users,
    channels: Channels = SPEC.channels,
    memberships: Memberships = SPEC.memberships,
    instances: Instances = SPEC.instances,
    skew: Skew = SPEC.skew,
    quick: Quick = False,
    json_file: JsonFile = None,
    html_file: HtmlFile = None,
) -> None:
    """Build a routing table of a given size, and say what it takes.

    Memory by structure beside the specification's, what each user and channel costs, how fast the table fills and
    answers, and the same in plain Python dicts and in Cython at an eighth of the size.
    """
    population = Population(users, channels, memberships, instances, skew)
    options = _quick_sizing(population) if quick else SizingOptions(population)
    _show(lambda stages: sizing(options, stages), json_file, html_file)


@app.command("login")
def bench_login(  # noqa: PLR0913 - each is an option of the command
    *,
    users: Users = SPEC.users,
    channels: Channels = SPEC.channels,
    memberships: Memberships = SPEC.memberships,
    instances: Instances = SPEC.instances,
    skew: Skew = SPEC.skew,
    visit: Annotated[int, typer.Option(min=1, help="Channels of the user who comes and goes.")] = FULL_VISIT,
    quick: Quick = False,
    json_file: JsonFile = None,
    html_file: HtmlFile = None,
) -> None:
    """Let a user of very many channels come online and leave, and watch lookups meanwhile.

    Names new, names known, and memberships cached, beside the floor: one touch of each place in memory, measured in
    the same run; the same in plain Python dicts and in Cython; and how long lookups and an event loop wait.
    """
    population = Population(users, channels, memberships, instances, skew)
    options = _quick_login(population, visit) if quick else LoginOptions(population, visit)
    _show(lambda stages: login(options, stages), json_file, html_file)


@app.command("route")
def bench_route(*, quick: Quick = False, json_file: JsonFile = None, html_file: HtmlFile = None) -> None:
    """Look channels up and route events into batches, as fast as it goes.

    By the number of instances that a channel is on, by skew, with one thread and two; and the same in plain Python
    dicts and in Cython.
    """
    options = _QUICK_ROUTE if quick else RouteOptions()
    _show(lambda stages: route(options, stages), json_file, html_file)


@app.command("churn")
def bench_churn(
    *,
    operations: Annotated[int, typer.Option(min=1, help="Joins, leaves, logins, logouts and drops.")] = 1_000_000,
    quick: Quick = False,
    json_file: JsonFile = None,
    html_file: HtmlFile = None,
) -> None:
    """Let users come, go, join and leave at random, and see whether memory comes back.

    Each step is held against a plain model; when all visitors have left, memory is compared with the beginning.
    """
    options = _quick_churn(operations) if quick else ChurnOptions(operations=operations)
    _show(lambda stages: churn(options, stages), json_file, html_file)


@app.command("all")
def bench_all(*, quick: Quick = False) -> None:
    """Run all of them, one after another, each with its report."""
    for bench in (bench_sizing, bench_login, bench_route, bench_churn):
        bench(quick=quick)


_QUICK_ROUTE: Final = RouteOptions(channels=2_000, widths=(1, 6), seconds=_QUICK_ROUTE_SECONDS, judged=False)


def _quick_sizing(population: Population) -> SizingOptions:
    return SizingOptions(population.scaled(QUICK_FRACTION), lookups=_QUICK_LOOKUPS)


def _quick_login(population: Population, visit: int) -> LoginOptions:
    small = max(1, round(visit * QUICK_FRACTION))
    return LoginOptions(population.scaled(QUICK_FRACTION), small, _QUICK_ROUNDS, _QUICK_SECONDS)


def _quick_churn(operations: int) -> ChurnOptions:
    whole = ChurnOptions(operations=operations)
    visitors, few = (max(1, round(count * QUICK_FRACTION)) for count in (whole.visitors, operations))
    return ChurnOptions(whole.population.scaled(QUICK_FRACTION), visitors, few)


def _show(bench: Callable[[Stages], Report], json_file: Path | None, html_file: Path | None) -> None:
    """Measure, print, write.

    Raises:
        SystemExit: it could not be measured; code 1, after a line that says why.
    """
    try:
        with stages_shown() as stages:
            report = bench(stages)
    except BenchError as error:
        complain("error", str(error))
        raise SystemExit(1) from None
    print_report(report)
    page = html_file or Path(f"fanout-bench-{report.name}.html")
    page.write_text(html(report))
    say("ok", f"report: {page.resolve()}")
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
        say("ok", f"figures: {json_file.resolve()}")
