"""`fanout bench sockets`: the notification service with real clients, beside bare websockets."""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Final

import msgspec
from msgspec.structs import replace

from benchmarks import units
from benchmarks.errors import BenchError
from benchmarks.live.sockets.audience import LEAST_CHANNELS, MOST_CHANNELS, Audience
from benchmarks.live.sockets.figures import NAMES, SERVERS, IdleFigures, Server, Turn, Way
from benchmarks.live.sockets.idling import SETTLING_S, idle, require_room_for_idle, room_for_idle
from benchmarks.live.sockets.messages import LOADS, REACHES, LoadKind, Play, Reach
from benchmarks.live.sockets.playing import Side, alternate, both_sides, require_room_to_play
from benchmarks.report import Report, Target, at_least, at_most
from benchmarks.reports import sockets_sections as sections
from benchmarks.reports.framing import Run
from benchmarks.reports.sockets_figures import (
    BURST,
    TELLING,
    Contest,
    Measured,
    ratio,
    ratio_of_delays,
    seconds_of_last,
    shares,
)
from benchmarks.reports.sockets_planning import planning
from benchmarks.stages import Stages

CONNECTIONS: Final = 20_000
FAN_OUT: Final = 4_000
STAGES: Final = 2 + 1 + 3 + 1 + 1
"""Idle connections of each server; connecting and checking; single events with pauses and without, bursts; events to
channels of any size; the small channel."""
_KIB: Final = 1024
_IDLE_LIMIT_KIB: Final = 16
_LAST_LIMIT_MS: Final = 60
_SINGLE_LIMIT: Final = 1.6
_BURST_LIMIT: Final = 8
_FAIRNESS_LIMIT: Final = 2
_PAUSE_S: Final = 0.01
_BACKGROUND: Final = (
    "Fanout passes chat messages on to those who are online. Clients hold a WebSocket to an instance of the "
    "notification service; fan-out workers send the instance each event once, in batches, and it writes the event to "
    "the sockets of all who read its channel. A delivery is one event to one socket. Server and clients run on this "
    "one machine, in processes of their own, and every frame goes through the kernel's TCP."
)


class SocketsOptions(msgspec.Struct, frozen=True):
    """How many sockets, and what is sent to them."""

    connections: int = CONNECTIONS
    """To which nothing is sent."""
    channels: int = 10
    """That each connection reads."""
    fan_out: int = FAN_OUT
    """Sockets to which events are sent."""
    turns: int = 5
    """Of each server, in each measurement."""
    rounds: int = 30
    """Single events of a turn; of others there are fewer."""
    flood_s: float = 1.0
    """Of a turn beside a load."""
    settling_s: float = SETTLING_S
    """Before memory is read."""
    judged: bool = True
    """Whether the run is large enough to be held against the targets."""
    connections_required: bool = False
    """Refuse what a process may not hold here; otherwise as many are held as it may."""


def sockets(options: SocketsOptions, stages: Stages) -> Report:
    """Both servers, each with clients of its own, in turn.

    Raises:
        BenchError: there are too few descriptors or ports, or a client did not get just what was due to it.
    """
    run = Run(_BACKGROUND)
    _require(options)
    asked, connections = options.connections, room_for_idle(options.connections)
    idle_figures = {server: _idle(server, connections, options, stages) for server in SERVERS}
    measured = _played(options, idle_figures, stages)
    return run.report(
        "sockets",
        f"Sockets: {connections:,} idle connections, and events to {options.fan_out:,} sockets",
        _summary(asked, options, measured),
        replace(options, connections=connections),
        _targets(options, measured),
        [
            planning(measured, large=_fans_out(options)),
            *sections.all_of(asked, options.channels, options.fan_out, measured),
        ],
        msgspec.structs.asdict(measured),
    )


def _require(options: SocketsOptions) -> None:
    if options.channels < LEAST_CHANNELS:
        raise BenchError(f"--channels must be at least {LEAST_CHANNELS}: events go to channels of all sizes")
    if options.channels > MOST_CHANNELS:
        raise BenchError(
            f"--channels {options.channels} are too many for each of so many connections: all of them would be entered "
            f"while clients wait to be admitted; take --channels {MOST_CHANNELS} at most (fanout bench login has one "
            "user of more)"
        )
    require_room_to_play(options.fan_out)
    if options.connections_required:
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
            bursts=contest(f"bursts of {BURST}", Play("all", _some(rounds, 5), BURST)),
            many=_many(options, sides, stages),
            floods=_floods(options, sides, stages),
        )


def _many(options: SocketsOptions, sides: dict[Server, Side], stages: Stages) -> dict[Reach, Contest]:
    rounds = _some(options.rounds, 10)
    players = {
        (reach, server): partial(sides[server].play, Play(reach, rounds))
        for reach, server in product(REACHES, SERVERS)
        if reach != "all"
    }
    turns = alternate(players, options.turns, stages("events to many channels"))
    return {reach: {server: turns[reach, server] for server in SERVERS} for reach in REACHES if reach != "all"}


def _floods(options: SocketsOptions, sides: dict[Server, Side], stages: Stages) -> dict[LoadKind, Contest]:
    players: dict[tuple[LoadKind, Server], Callable[[], Turn]] = {
        (load, server): partial(sides[server].flood, load, options.flood_s) for load, server in product(LOADS, SERVERS)
    }
    turns = alternate(players, options.turns, stages("a small channel beside a load"))
    return {load: {server: turns[load, server] for server in SERVERS} for load in LOADS}


def _some(rounds: int, fewer: int) -> int:
    return max(2, rounds // fewer)


def _summary(asked: int, options: SocketsOptions, measured: Measured) -> str:
    idle_figures = measured.idle["service"]
    each, held = idle_figures.each_bytes, idle_figures.connections
    few = f", too much by what so few as {held:,} share" if held < TELLING else ""
    fewer = f" No more than {held:,} of {asked:,} could be held, by the limit of open files." if held < asked else ""
    last = seconds_of_last(measured.last["service"])
    return (
        f"An idle connection takes {units.digits(each / _KIB)} KiB of the service{few}.{fewer} One event to "
        f"{options.fan_out:,} sockets reaches the last after {units.duration(last)}. Per second of processor time "
        f"the service makes {units.times(ratio(measured.single))} as many deliveries of single events as "
        f"websockets.broadcast, and {units.times(ratio(measured.bursts))} as many in bursts of {BURST}."
    )


def _fans_out(options: SocketsOptions) -> bool:
    """Whether as much was sent to as many as the targets are about."""
    return options.judged and options.fan_out >= FAN_OUT


def _targets(options: SocketsOptions, measured: Measured) -> list[Target]:
    fans = _fans_out(options)
    many = options.judged and measured.idle["service"].connections >= TELLING
    idle_kib = measured.idle["service"].each_bytes / _KIB
    last_ms = seconds_of_last(measured.last["service"]) * 1e3
    hot, even = (measured.floods[load]["service"] for load in ("hot", "even"))
    fairness = {
        what: ratio_of_delays(hot, even, share) for what, share in shares(hot, even).items() if what != "longest"
    }
    beside = "beside websockets.broadcast"
    return [
        at_most("resident memory for an idle connection", idle_kib, _IDLE_LIMIT_KIB, "KiB", judged=many),
        at_most(
            f"one event to {options.fan_out:,} sockets: the last, median", last_ms, _LAST_LIMIT_MS, "ms", judged=fans
        ),
        at_least(f"deliveries of single events {beside}", ratio(measured.single), _SINGLE_LIMIT, "times", judged=fans),
        at_least(
            f"deliveries in bursts of {BURST} {beside}", ratio(measured.bursts), _BURST_LIMIT, "times", judged=fans
        ),
        *(
            at_most(
                "delay of a small channel beside a hot one, divided by that beside the same load on even channels: "
                f"{what}",
                times,
                _FAIRNESS_LIMIT,
                "times",
                judged=fans,
            )
            for what, times in fairness.items()
        ),
    ]
