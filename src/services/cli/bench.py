"""`fanout bench`: size hardware, and see figures of the engine and of the services beside their targets."""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec
import typer
from msgspec.structs import replace

from benchmarks.errors import BenchError, NumbersError
from benchmarks.population import Population
from benchmarks.render.html import html
from benchmarks.render.terminal import print_report, stages_shown
from benchmarks.report import Report
from benchmarks.reports.churn import STAGES as CHURN_STAGES
from benchmarks.reports.churn import ChurnOptions, churn
from benchmarks.reports.framing import SPEC
from benchmarks.reports.login import FULL_VISIT, LoginOptions, login
from benchmarks.reports.login import STAGES as LOGIN_STAGES
from benchmarks.reports.pipeline import STAGES as PIPELINE_STAGES
from benchmarks.reports.pipeline import PipelineOptions, pipeline
from benchmarks.reports.route import STAGES as ROUTE_STAGES
from benchmarks.reports.route import RouteOptions, route
from benchmarks.reports.sizing import STAGES as SIZING_STAGES
from benchmarks.reports.sizing import SizingOptions, sizing
from benchmarks.reports.sockets import STAGES as SOCKETS_STAGES
from benchmarks.reports.sockets import SocketsOptions, sockets
from benchmarks.stages import Stages
from services.cli.lines import complain, say

app = typer.Typer(
    help="Measure Fanout on this machine: what a size costs, logins, routing, memory, sockets, the pipeline.",
    no_args_is_help=True,
)

Command = TypeVar("Command", bound=Callable[..., None])

QUICK_FRACTION: Final = 1 / 50
_QUICK_HINT: Final = " (of the numbers given, --quick takes a fiftieth, of some a tenth)"
_USAGE: Final = 2
"""The exit status of typer itself for options that cannot be."""
_INTERRUPTED: Final = 130
"""As shells have it."""
_QUICK_LOOKUPS: Final = 200_000
_QUICK_EVENTS: Final = 20_000
_QUICK_ROUNDS: Final = 3
_QUICK_SECONDS: Final = 0.6
_QUICK_ROUTE_SECONDS: Final = 0.05
_QUICK_IDLE: Final = 1 / 10
_QUICK_LEAST: Final = 100
_QUICK_LEAST_RATE: Final = 50.0
_QUICK_LEAST_S: Final = 1.0
_QUICK_TURNS: Final = 2
_QUICK_ROUNDS_OF_EVENTS: Final = 10
_QUICK_FLOOD_S: Final = 0.2
_QUICK_SETTLING_S: Final = 0.2


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


Users = Annotated[int, typer.Option(min=1, help="Users online.")]
Channels = Annotated[int, typer.Option(min=1, help="Channels, each with at least one member.")]
Memberships = Annotated[int, typer.Option(min=1, help="Memberships of all users together.")]
Instances = Annotated[int, typer.Option(min=1, help="Server instances over which the users are spread.")]
Skew = Annotated[float, typer.Option(min=0.0, help="How unequal channels are: 0 all alike, 1 a few have most members.")]
Quick = Annotated[
    bool, typer.Option("--quick", help="A fiftieth of it, also of sizes that are given; targets are not judged.")
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")]
HtmlFile = Annotated[
    Path | None,
    typer.Option("--html", help="Where the report goes; by default fanout-bench-NAME.html here, or -NAME-quick.html."),
]


def _command(name: str) -> Callable[[Command], Command]:
    """Of the application; typer itself would keep the line breaks of a docstring's later paragraphs."""

    def register(command: Command) -> Command:
        paragraphs = cleandoc(command.__doc__ or "").split("\n\n")
        app.command(name, help="\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs))(command)
        return command

    return register


@_command("sizing")
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
    _show(lambda stages: sizing(options, stages), SIZING_STAGES, Files("sizing", quick, json_file, html_file))


@_command("login")
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
    _show(lambda stages: login(options, stages), LOGIN_STAGES, Files("login", quick, json_file, html_file))


@_command("route")
def bench_route(*, quick: Quick = False, json_file: JsonFile = None, html_file: HtmlFile = None) -> None:
    """Look channels up and route events into batches, as fast as it goes.

    By the number of instances that a channel is on, by skew, with one thread and two; and the same in plain Python
    dicts and in Cython.
    """
    options = _QUICK_ROUTE if quick else RouteOptions()
    _show(lambda stages: route(options, stages), ROUTE_STAGES, Files("route", quick, json_file, html_file))


_CHURN: Final = ChurnOptions()


@_command("churn")
def bench_churn(  # noqa: PLR0913 - each is an option of the command
    *,
    users: Users = _CHURN.population.users,
    channels: Channels = _CHURN.population.channels,
    memberships: Memberships = _CHURN.population.memberships,
    instances: Instances = _CHURN.population.instances,
    visitors: Annotated[
        int, typer.Option(min=1, help="Users who come and go beside those who stay.")
    ] = _CHURN.visitors,
    operations: Annotated[int, typer.Option(min=1, help="Joins, leaves, logins, logouts and drops.")] = 1_000_000,
    quick: Quick = False,
    json_file: JsonFile = None,
    html_file: HtmlFile = None,
) -> None:
    """Let users come, go, join and leave at random, and see whether memory comes back.

    Each step is held against a plain model; when all visitors have left, memory is compared with the beginning.
    """
    population = Population(users, channels, memberships, instances)
    options = ChurnOptions(population, visitors, operations, QUICK_FRACTION if quick else 1.0)
    _show(lambda stages: churn(options, stages), CHURN_STAGES, Files("churn", quick, json_file, html_file))


_SOCKETS: Final = SocketsOptions()


@_command("sockets")
def bench_sockets(
    *,
    connections: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Idle connections that are held; a tenth of them with --quick.",
            show_default=f"{_SOCKETS.connections}, or fewer where ulimit -Hn is lower",
        ),
    ] = None,
    channels: Annotated[int, typer.Option(min=1, help="Channels that each connection reads.")] = _SOCKETS.channels,
    fan_out: Annotated[int, typer.Option(min=1, help="Sockets to which events are sent.")] = _SOCKETS.fan_out,
    quick: Quick = False,
    json_file: JsonFile = None,
    html_file: HtmlFile = None,
) -> None:
    """Hold real WebSockets on this machine, and send events to them.

    Memory for each idle connection, one event to many sockets, deliveries a second of single events and of bursts, and
    a small channel beside a hot one; the same with a bare server of the websockets library and its broadcast.
    """
    given = connections is not None
    options = SocketsOptions(connections or _SOCKETS.connections, channels, fan_out, connections_required=given)
    options = _quick_sockets(options) if quick else options
    _show(lambda stages: sockets(options, stages), SOCKETS_STAGES, Files("sockets", quick, json_file, html_file))


_PIPELINE: Final = PipelineOptions()


@_command("pipeline")
def bench_pipeline(  # noqa: PLR0913 - each is an option of the command
    *,
    events: Annotated[int, typer.Option(min=1, help="Events in the stream that is drained.")] = _PIPELINE.events,
    targets: Annotated[int, typer.Option(min=1, help="Instances that each of them goes to.")] = _PIPELINE.targets,
    channels: Annotated[int, typer.Option(min=1, help="Channels, drawn at random.")] = _PIPELINE.channels,
    rate: Annotated[float, typer.Option(min=1.0, help="Messages per second through the tier.")] = _PIPELINE.rate,
    deliveries: Annotated[
        float, typer.Option(min=1.0, help="Deliveries per second at that rate.")
    ] = _PIPELINE.deliveries,
    seconds: Annotated[float, typer.Option(min=0.5, help="Of each rate, on the clock.")] = _PIPELINE.seconds,
    quick: Quick = False,
    json_file: JsonFile = None,
    html_file: HtmlFile = None,
) -> None:
    """Let a fan-out worker drain a stream, and send messages through the whole tier to WebSockets.

    It starts a nats-server and a redis-server of its own, and the services as they are run. Draining beside the
    straightforward way with the same libraries; then, at several rates, how long it takes from the moment that a
    message is accepted until it is at its readers. Everything that arrives is checked: once, and in order.
    """
    options = PipelineOptions(events, targets, channels, rate, deliveries, seconds)
    chosen = _quick_pipeline(options) if quick else options
    _show(lambda stages: pipeline(chosen, stages), PIPELINE_STAGES, Files("pipeline", quick, json_file, html_file))


@_command("all")
def bench_all(*, quick: Quick = False) -> None:
    """Run all of them, one after another, each at its own size and with its report in the folder where it is run.

    Files and sizes cannot be given: for those, run one by one.
    """
    for bench in (bench_sizing, bench_login, bench_route, bench_churn, bench_sockets, bench_pipeline):
        bench(quick=quick)


_QUICK_ROUTE: Final = RouteOptions(channels=2_000, widths=(1, 6), seconds=_QUICK_ROUTE_SECONDS, judged=False)


def _quick_sizing(population: Population) -> SizingOptions:
    return SizingOptions(population, QUICK_FRACTION, lookups=_QUICK_LOOKUPS, events=_QUICK_EVENTS)


def _quick_login(population: Population, visit: int) -> LoginOptions:
    return LoginOptions(population, visit, QUICK_FRACTION, _QUICK_ROUNDS, _QUICK_SECONDS)


def _quick_sockets(options: SocketsOptions) -> SocketsOptions:
    """Of idle connections a tenth: with fewer, the memory of each says nothing."""
    return replace(
        options,
        connections=_part(options.connections, _QUICK_IDLE),
        fan_out=_part(options.fan_out, QUICK_FRACTION),
        turns=_QUICK_TURNS,
        rounds=_QUICK_ROUNDS_OF_EVENTS,
        flood_s=_QUICK_FLOOD_S,
        settling_s=_QUICK_SETTLING_S,
        judged=False,
    )


def _part(given: int, fraction: float) -> int:
    """Not so few that figures say nothing."""
    return min(given, max(_QUICK_LEAST, round(given * fraction)))


def _quick_pipeline(options: PipelineOptions) -> PipelineOptions:
    """A fiftieth of the events, and a tenth of the rate for a fifth of the time: not so little that nothing comes."""
    rate = max(min(options.rate, _QUICK_LEAST_RATE), options.rate / 10)
    return replace(
        options,
        events=_part(options.events, QUICK_FRACTION),
        channels=_part(options.channels, 1 / 10),
        rate=rate,
        deliveries=options.deliveries * rate / options.rate,
        seconds=max(min(options.seconds, _QUICK_LEAST_S), options.seconds / 5),
        warm_up_seconds=0.5,
        multiples=(1.0,),
        rounds=1,
        plain_share=1 / 2,
        clients=options.clients // 10,
    )


def _show(bench: Callable[[Stages], Report], how_many: int, files: Files) -> None:
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
