"""`fanout bench`: size hardware, and see figures of the engine and of the services beside their targets."""

from typing import Annotated, Final

import typer
from msgspec.structs import replace

from benchmarks.population import Population
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
from benchmarks.reports.stalls import STAGES as STALLS_STAGES
from benchmarks.reports.stalls import StallsOptions, stalls
from services.cli.benching import Files, HtmlFile, JsonFile, Quick, app, command, show

__all__ = ["app"]


QUICK_FRACTION: Final = 1 / 50
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


Users = Annotated[int, typer.Option(min=1, help="Users online.")]
Channels = Annotated[int, typer.Option(min=1, help="Channels, each with at least one member.")]
Memberships = Annotated[int, typer.Option(min=1, help="Memberships of all users together.")]
Instances = Annotated[int, typer.Option(min=1, help="Server instances over which the users are spread.")]
Skew = Annotated[float, typer.Option(min=0.0, help="How unequal channels are: 0 all alike, 1 a few have most members.")]


@command("sizing")
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
    show(lambda stages: sizing(options, stages), SIZING_STAGES, Files("sizing", quick, json_file, html_file))


@command("login")
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
    show(lambda stages: login(options, stages), LOGIN_STAGES, Files("login", quick, json_file, html_file))


@command("route")
def bench_route(*, quick: Quick = False, json_file: JsonFile = None, html_file: HtmlFile = None) -> None:
    """Look channels up and route events into batches, as fast as it goes.

    By the number of instances that a channel is on, by skew, with one thread and two; and the same in plain Python
    dicts and in Cython.
    """
    options = _QUICK_ROUTE if quick else RouteOptions()
    show(lambda stages: route(options, stages), ROUTE_STAGES, Files("route", quick, json_file, html_file))


_CHURN: Final = ChurnOptions()


@command("churn")
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
    show(lambda stages: churn(options, stages), CHURN_STAGES, Files("churn", quick, json_file, html_file))


_SOCKETS: Final = SocketsOptions()


@command("sockets")
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
    show(lambda stages: sockets(options, stages), SOCKETS_STAGES, Files("sockets", quick, json_file, html_file))


_PIPELINE: Final = PipelineOptions()


@command("pipeline")
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
    show(lambda stages: pipeline(chosen, stages), PIPELINE_STAGES, Files("pipeline", quick, json_file, html_file))


_STALLS: Final = StallsOptions()


@command("stalls")
def bench_stalls(
    *,
    users: Annotated[int, typer.Option(min=1, help="Users of an instance.")] = _STALLS.users,
    channels: Annotated[int, typer.Option(min=1, help="Channels of the user who comes and goes.")] = _STALLS.channels,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is tried.")] = _STALLS.rounds,
    quick: Quick = False,
    json_file: JsonFile = None,
    html_file: HtmlFile = None,
) -> None:
    """Watch the event loops of a fan-out worker and of a notification instance for stalls.

    While rosters are reconciled, and while a user of very many channels comes and goes; beside an idle loop in the same
    moments, which sees what the machine does. It needs no server, and checks that what was done had its effect.
    """
    options = StallsOptions(users, channels, rounds)
    options = _quick_stalls(options) if quick else options
    show(lambda stages: stalls(options, stages), STALLS_STAGES, Files("stalls", quick, json_file, html_file))


@command("all")
def bench_all(*, quick: Quick = False) -> None:
    """Run all of them, one after another, each at its own size and with its report in the folder where it is run.

    Files and sizes cannot be given: for those, run one by one.
    """
    for bench in (bench_sizing, bench_login, bench_route, bench_churn, bench_sockets, bench_pipeline, bench_stalls):
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


def _quick_stalls(options: StallsOptions) -> StallsOptions:
    users, channels = (_part(given, QUICK_FRACTION) for given in (options.users, options.channels))
    return StallsOptions(users, channels, min(options.rounds, _QUICK_TURNS))
