"""`fanout bench sockets`: the notification service with real clients, beside bare websockets."""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from msgspec.structs import asdict, replace

from benchmarks import units
from benchmarks.apart import Stages
from benchmarks.case import Case, part
from benchmarks.cases.planning import Costs
from benchmarks.cases.sockets_tables import (
    BURST,
    KIB,
    TELLING,
    Contest,
    Measured,
    delay_s,
    per_server_second,
    ratio,
    shares,
    tables,
)
from benchmarks.errors import BenchError
from benchmarks.live.sockets.channels import LEAST_CHANNELS, MOST_CHANNELS, Audience
from benchmarks.live.sockets.figures import (
    LOADS,
    NAMES,
    REACHES,
    SERVERS,
    IdleFigures,
    LoadKind,
    Play,
    Reach,
    Server,
    Turn,
    Way,
)
from benchmarks.live.sockets.idle import SETTLING_S, idle
from benchmarks.live.sockets.limits import require_room_for_idle, require_room_to_play, room_for_idle
from benchmarks.live.sockets.turns import Side, alternate, both_sides
from benchmarks.report import Report, Target, at_least, at_most

CONNECTIONS: Final = 20_000
_FAN_OUT: Final = 4_000
_IDLE_LIMIT_KIB: Final = 16
_LAST_LIMIT_S: Final = 60e-3
_SINGLE_LIMIT: Final = 1.6
_BURST_LIMIT: Final = 8
_FAIRNESS_LIMIT: Final = 2
_PAUSE_S: Final = 0.01
_CONNECTIONS: Final = f"Idle connections, a tenth with --quick. 0: {CONNECTIONS:,}, or fewer where ulimit -Hn is lower."


class SocketsOptions(msgspec.Struct, frozen=True):
    """How many sockets, and what is sent to them."""

    connections: Annotated[int, Meta(ge=0, description=_CONNECTIONS)] = 0
    channels: Annotated[int, Meta(ge=1, description="Channels that each connection reads.")] = 10
    fan_out: Annotated[int, Meta(ge=1, description="Sockets to which events are sent.")] = _FAN_OUT
    wanted: int = CONNECTIONS
    """Connections where none are given: as many are held as a process may; those that are given are required."""
    turns: int = 5
    """Of each server, in each measurement."""
    rounds: int = 30
    """Single events of a turn; of others there are fewer."""
    flood_s: float = 1.0
    """Of a turn beside a load."""
    settling_s: float = SETTLING_S
    """Before memory is read."""
    judged: bool = True
    """Whether the run is large enough for the targets."""


def run(options: SocketsOptions, stages: Stages) -> Report:
    """Both servers, each with clients of its own, in turn.

    Raises:
        BenchError: there are too few descriptors or ports, or a client did not get just what was due to it.
    """
    _require(options)
    asked = options.connections or options.wanted
    connections = room_for_idle(asked)
    idle_figures = {server: _idle(server, connections, options, stages) for server in SERVERS}
    measured = _played(options, idle_figures, stages)
    return Report(
        f"Sockets: {connections:,} idle connections, and events to {options.fan_out:,} sockets",
        _summary(asked, options, measured),
        _targets(options, measured),
        tables(asked, options.channels, options.fan_out, measured),
        {**asdict(measured), "planning": _planning(options, measured)},
    )


def _require(options: SocketsOptions) -> None:
    if options.channels < LEAST_CHANNELS:
        raise BenchError(f"--channels must be at least {LEAST_CHANNELS}: events go to channels of all sizes")
    if options.channels > MOST_CHANNELS:
        raise BenchError(
            f"--channels {options.channels} are too many for each of so many connections: all of them would be "
            f"entered while clients wait to be admitted; take --channels {MOST_CHANNELS} at most (fanout bench login "
            "has one user of more)"
        )
    require_room_to_play(options.fan_out)
    if options.connections:
        require_room_for_idle(options.connections)


def _idle(server: Server, connections: int, options: SocketsOptions, stages: Stages) -> IdleFigures:
    progress = stages(f"{connections:,} idle connections, {NAMES[server]}")
    figures = idle(server, connections, options.channels, progress, settling_s=options.settling_s)
    progress(1.0, "")
    return figures


def _played(options: SocketsOptions, idle_figures: dict[Server, IdleFigures], stages: Stages) -> Measured:
    connecting = stages(f"{options.fan_out:,} sockets of each server, and whether each gets just what is due to it")
    with both_sides(Audience(options.fan_out, options.channels), connecting) as sides:
        connecting(1.0, "")
        rounds = options.rounds

        def contest(title: str, play: Play) -> Contest:
            players: dict[Way, Callable[[], Turn]] = {each: partial(sides[each].play, play) for each in SERVERS}
            if not play.pause_s:
                players["floor"] = partial(sides["plain"].play, replace(play, floor=True))
            return alternate(players, options.turns, stages(title))

        return Measured(
            idle=idle_figures,
            last=contest("one event, now and then", Play("all", rounds, pause_s=_PAUSE_S)),
            single=contest("single events without pause", Play("all", rounds)),
            bursts=contest(f"bursts of {BURST}", Play("all", max(2, rounds // 5), BURST)),
            many=_many(options, sides, stages),
            floods=_floods(options, sides, stages),
        )


def _many(options: SocketsOptions, sides: dict[Server, Side], stages: Stages) -> dict[Reach, Contest]:
    rounds, reaches = max(2, options.rounds // 10), [reach for reach in REACHES if reach != "all"]
    players = {
        (reach, server): partial(sides[server].play, Play(reach, rounds)) for reach, server in product(reaches, SERVERS)
    }
    turns = alternate(players, options.turns, stages("events to many channels"))
    return {reach: {server: turns[reach, server] for server in SERVERS} for reach in reaches}


def _floods(options: SocketsOptions, sides: dict[Server, Side], stages: Stages) -> dict[LoadKind, Contest]:
    players = {
        (load, server): partial(sides[server].flood, load, options.flood_s) for load, server in product(LOADS, SERVERS)
    }
    turns = alternate(players, options.turns, stages("a small channel beside a load"))
    return {load: {server: turns[load, server] for server in SERVERS} for load in LOADS}


def _summary(asked: int, options: SocketsOptions, measured: Measured) -> str:
    idle_figures = measured.idle["service"]
    each, held = idle_figures.each_bytes, idle_figures.connections
    few = f", too much by what so few as {held:,} share" if held < TELLING else ""
    fewer = f" No more than {held:,} of {asked:,} could be held, by the limit of open files." if held < asked else ""
    last = delay_s(measured.last["service"])
    return (
        f"An idle connection takes {units.digits(each / KIB)} KiB of the service{few}.{fewer} One event to "
        f"{options.fan_out:,} sockets reaches the last after {units.duration(last)}. Per second of processor time the "
        f"service makes {units.times(ratio(measured.single))} as many deliveries of single events as "
        f"websockets.broadcast, and {units.times(ratio(measured.bursts))} as many in bursts of {BURST}."
    )


def _large(options: SocketsOptions) -> bool:
    """Whether as much was sent to as many as the targets are about."""
    return options.judged and options.fan_out >= _FAN_OUT


def _planning(options: SocketsOptions, measured: Measured) -> Costs:
    """What a connection and a delivery of single events take; of a smaller run, nothing."""
    figures = measured.idle["service"]
    if not _large(options) or figures.connections < TELLING:
        return Costs()
    return Costs(
        instance_bytes_per_connection=figures.each_bytes,
        instance_s_per_connection=1 / figures.rate_by_server,
        instance_s_per_delivery=1 / per_server_second(measured.single["service"]),
    )


def _targets(options: SocketsOptions, measured: Measured) -> list[Target]:
    fans = _large(options)
    many = options.judged and measured.idle["service"].connections >= TELLING
    idle_kib = measured.idle["service"].each_bytes / KIB
    last, beside = delay_s(measured.last["service"]), "beside websockets.broadcast"
    single, bursts = ratio(measured.single), ratio(measured.bursts)
    hot, even = (measured.floods[load]["service"] for load in ("hot", "even"))
    fairness = "delay of a small channel beside a hot one, divided by that beside the same load on even channels"
    return [
        at_most("resident memory for an idle connection", idle_kib, _IDLE_LIMIT_KIB, "KiB", judged=many),
        at_most(f"one event to {options.fan_out:,} sockets: the last, median", last, _LAST_LIMIT_S, "s", judged=fans),
        at_least(f"deliveries of single events {beside}", single, _SINGLE_LIMIT, "times", judged=fans),
        at_least(f"deliveries in bursts of {BURST} {beside}", bursts, _BURST_LIMIT, "times", judged=fans),
        *(
            at_most(
                f"{fairness}: {what}",
                delay_s(hot, share) / max(delay_s(even, share), 1e-9),
                _FAIRNESS_LIMIT,
                "times",
                judged=fans,
            )
            for what, share in shares(hot, even).items()
            if what != "longest"
        ),
    ]


def quick(options: SocketsOptions) -> SocketsOptions:
    """Of idle connections a tenth: with fewer, the memory of each says nothing."""
    return replace(
        options,
        connections=part(options.connections, 1 / 10),
        wanted=part(options.wanted, 1 / 10),
        fan_out=part(options.fan_out),
        turns=2,
        rounds=10,
        flood_s=0.2,
        settling_s=0.2,
        judged=False,
    )


CASE: Final = Case(
    "sockets",
    "Hold real WebSockets on this machine, and send events to them.\n\n"
    "Memory for each idle connection, one event to many sockets, deliveries a second of single events and of bursts, "
    "and a small channel beside a hot one; the same with a bare server of the websockets library and its broadcast.",
    SocketsOptions,
    run,
    quick,
    stages=8,
    background="Fanout passes chat messages on to those who are online. Clients hold a WebSocket to an instance of the "
    "notification service; fan-out workers send the instance each event once, in batches, and it writes the event to "
    "the sockets of all who read its channel. A delivery is one event to one socket. Server and clients run on this "
    "one machine, in processes of their own, and every frame goes through the kernel's TCP.",
)
