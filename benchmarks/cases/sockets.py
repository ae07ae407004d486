"""`fanout bench sockets`: the notification service with real clients, beside bare websockets."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import product
from statistics import median
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from benchmarks import units
from benchmarks.apart import Stages
from benchmarks.case import Case, part
from benchmarks.cases.planning import Costs
from benchmarks.live.sockets import sides
from benchmarks.live.sockets.audience import Audience
from benchmarks.live.sockets.sides import NAMES, Contest, IdleFigures, Players, Side, Turn, Way
from benchmarks.live.spread import TOLD, Spread, spread
from benchmarks.report import Cell, Figure, Report, Row, Table, Target, at_least, at_most, distribution, figures

_CONNECTIONS: Final = 20_000
_FAN_OUT: Final = 4_000
_BURST: Final = 8
"""Events that are sent to the same sockets at once."""
_TELLING: Final = 10_000
"""Idle connections: of fewer, the memory of each is too high, with a share of what the process takes anyway."""


class _Deliveries(NamedTuple):
    """Deliveries that are compared: channels, and how many rounds of events there are in a turn."""

    title: str
    reach: str
    rounds_share: float
    burst: int = 1
    floor: bool = False


_CONTESTS: Final = {
    "single": _Deliveries("single events", "all", 1, floor=True),
    "bursts": _Deliveries(f"bursts of {_BURST}", "all", 1 / 5, _BURST, floor=True),
    "one": _Deliveries("channels of one reader", "one", 1 / 10),
    "ten": _Deliveries("channels of ten readers", "ten", 1 / 10),
    "hundred": _Deliveries("channels of a hundred readers", "hundred", 1 / 10),
}
_LOADS: Final = {
    "none": "beside nothing",
    "even": "beside channels of a hundred readers",
    "hot": "beside a channel that all read",
}
"""The loads beside the small channel."""


class SocketsOptions(msgspec.Struct, frozen=True):
    """How many sockets, and what is sent to them."""

    connections: Annotated[int, Meta(ge=0, description="Idle connections; 0 for as many as may be, up to 20,000.")] = 0
    channels: Annotated[int, Meta(ge=4, description="Channels that each connection reads, of all sizes.")] = 10
    fan_out: Annotated[int, Meta(ge=1, description="Sockets to which events are sent.")] = _FAN_OUT
    wanted: int = _CONNECTIONS  # where no connections are given
    turns: int = 5  # of each server, in each measurement
    rounds: int = 30  # single events of a turn; of others there are fewer
    load_s: float = 1.0  # of a turn beside a load
    settling_s: float = 1.5  # before memory is read: allocators give back after a second what they do not need


def run(options: SocketsOptions, stages: Stages) -> Report:
    """Both servers, each with clients of its own, in turn.

    Raises:
        BenchError: there are too few descriptors or ports, or a client did not get just what was due to it.
    """
    sides.connections_allowed("--fan-out", options.fan_out, options.fan_out)
    asked = options.connections or options.wanted
    connections = sides.connections_allowed("--connections", asked, options.connections or 1)
    idle: dict[Way, IdleFigures] = {}
    for server, name in NAMES.items():
        progress = stages(f"{connections:,} idle connections, {name}")
        idle[server] = sides.idle(server, connections, options.channels, options.settling_s, progress)
        progress(1.0, "")
    measured = _measured(options, stages)
    return Report(
        f"Sockets: {connections:,} idle connections, and events to {options.fan_out:,} sockets",
        _summary(options, idle["service"], measured),
        _targets(options, idle["service"], measured),
        [_idle_table(asked, options, idle), *_tables(options.fan_out, measured)],
        {"idle": idle, **measured, "planning": planning(options, idle["service"], measured)},
    )


def _measured(options: SocketsOptions, stages: Stages) -> dict[str, Contest]:
    connecting = stages(f"{options.fan_out:,} sockets of each server, and whether each gets just what is due to it")
    audience = Audience(options.fan_out, options.channels)
    with ExitStack() as stack:
        both = {server: stack.enter_context(sides.side(server, audience)) for server in NAMES}
        for each in both.values():
            each.rehearse(audience)
        connecting(1.0, "")
        measured: dict[str, Contest] = {}
        for title, players in _players(options, audience, both):
            measured |= sides.alternate(players, options.turns, stages(title))
        return measured


def _players(options: SocketsOptions, audience: Audience, both: dict[Way, Side]) -> Iterator[tuple[str, Players]]:
    """The measurements that are made in the same minutes, with their title."""
    for contest, (title, reach, rounds_share, burst, floor) in _CONTESTS.items():
        sent = (audience, reach, max(2, round(options.rounds * rounds_share)), burst)
        players = {(contest, way): partial(both[way].play, *sent) for way in NAMES}
        if floor:
            players[contest, "floor"] = partial(both["plain"].play, *sent, floor=True)
        yield title, players
    loads = product(_LOADS, NAMES)
    yield (
        "a small channel beside a load",
        {(load, way): partial(both[way].load, audience, load, options.load_s) for load, way in loads},
    )


def _rate(turns: list[Turn]) -> float:
    """Deliveries per second of the server's processor time, the median of the turns: what is compared."""
    return median(turn.deliveries / turn.server_s for turn in turns)


def _ratio(contest: Contest) -> float:
    return _rate(contest["service"]) / _rate(contest["plain"])


def _delays(turns: list[Turn]) -> Spread:
    return spread(delay for turn in turns for delay in turn.delays_ns)


def _each_kib(idle: IdleFigures) -> float:
    return idle.resident_bytes / idle.connections / 1024


def _summary(options: SocketsOptions, idle: IdleFigures, measured: dict[str, Contest]) -> str:
    each, delays = units.digits(_each_kib(idle)), _delays(measured["single"]["service"])
    single, bursts = (units.times(_ratio(measured[contest])) for contest in ("single", "bursts"))
    return (
        f"An idle connection takes {each} KiB of the service. One event to {options.fan_out:,} sockets reaches the "
        f"last after {units.duration(delays.median)}. Per second of processor time the service makes {single} as many "
        f"deliveries of single events as websockets.broadcast, and {bursts} as many in bursts of {_BURST}."
    )


def planning(options: SocketsOptions, idle: IdleFigures, measured: dict[str, Contest]) -> Costs:
    """The costs of a connection and of a delivery of single events; of a smaller run, none."""
    if options.fan_out < _FAN_OUT or idle.connections < _TELLING:
        return Costs()
    return Costs(
        instance_bytes_per_connection=idle.resident_bytes / idle.connections,
        instance_s_per_connection=idle.server_s / idle.connections,
        instance_s_per_delivery=1 / _rate(measured["single"]["service"]),
    )


def _targets(options: SocketsOptions, idle: IdleFigures, measured: dict[str, Contest]) -> list[Target]:
    fans, beside = options.fan_out >= _FAN_OUT, "beside websockets.broadcast"
    last = _delays(measured["single"]["service"]).median
    hot, even = (_delays(measured[load]["service"]).percentiles for load in ("hot", "even"))
    fairness = "delay of a small channel beside a hot one, divided by that beside the same load on even channels"
    many = idle.connections >= _TELLING
    return [
        at_most("resident memory for an idle connection", _each_kib(idle), 16, "KiB", full=many),
        at_most(f"one event to {options.fan_out:,} sockets: the last, median", last, 60e-3, "s", full=fans),
        at_least(f"deliveries of single events {beside}", _ratio(measured["single"]), 1.6, "times", full=fans),
        at_least(f"deliveries in bursts of {_BURST} {beside}", _ratio(measured["bursts"]), 8, "times", full=fans),
        *(at_most(f"{fairness}: {of}", hot[of] / even[of], 2, "times", full=fans) for of in ("p50", "p99")),
    ]


def _idle_table(asked: int, options: SocketsOptions, idle: dict[Way, IdleFigures]) -> Table:
    held = idle["service"].connections
    text = (
        f"What {held:,} connections of {options.channels} channels added to the resident memory of the server's "
        "process, presence and routing included; the kernel's own memory for sockets is not in it."
    )
    if held < asked:
        text += f" {asked:,} were wanted; a process may open no more files here."
    if held < _TELLING:
        text += f" With fewer than {_TELLING:,}, the figure is too high: few share what the process takes anyway."
    rows = [
        Row(NAMES[way], [Figure(_each_kib(of), "KiB"), Figure(of.connections / of.server_s, "/s")])
        for way, of in idle.items()
    ]
    return Table("Idle connections", text, ["memory of each", "opened by processor time"], rows, bars=[0])


def _tables(fan_out: int, measured: dict[str, Contest]) -> list[Table]:
    return [
        _delay_table(
            f"One event to {fan_out:,} sockets",
            "From when the batch with the event is published until the last client has the last byte. The clients read "
            "one socket after another in one process, and look for more each millisecond: both are part of it.",
            {name: measured["single"][way] for way, name in NAMES.items()},
        ),
        Table(
            "Deliveries",
            f"A delivery is one event to one of {fan_out:,} sockets; events are sent when all have those before. Per "
            "second of the server's processor time, user and system: that is what a core can deliver. The ratio is the "
            "service's by the other's. The floor is one os.write for each socket from a loop in Python: nearly what "
            "the kernel takes. Medians of turns.",
            [*NAMES.values(), "the floor", "ratio"],
            [Row(of.title, _delivery_cells(measured[contest])) for contest, of in _CONTESTS.items()],
            bars=[0, 1, 2],
        ),
        _delay_table(
            "A small channel beside a load",
            "Five clients in a process of their own read a channel that gets an event every 20 ms; the delay is from "
            f"when that was due until the last of the five has it. Of the load, two rounds of {fan_out:,} deliveries "
            "are always under way.",
            {
                f"{name}, {beside}": measured[load][way]
                for way, name in NAMES.items()
                for load, beside in _LOADS.items()
            },
        ),
    ]


def _delivery_cells(contest: Contest) -> list[Cell]:
    floor: Cell = Figure(_rate(contest["floor"]), "/s") if "floor" in contest else ""
    return [*figures("/s", (_rate(contest[way]) for way in NAMES)), floor, Figure(_ratio(contest), "times")]


def _delay_table(title: str, text: str, lines: dict[str, list[Turn]]) -> Table:
    delays = {name: _delays(turns) for name, turns in lines.items()}
    rows = [Row(name, [*figures("s", of.told()), Figure(of.count, "number")]) for name, of in delays.items()]
    plot = distribution(title, "ms", {name: of.curve for name, of in delays.items()}, 1e3)
    return Table(title, text, [*TOLD, "events"], rows, plots=[plot])


def quick(options: SocketsOptions) -> SocketsOptions:
    """A fiftieth of the sockets, and a tenth of the idle connections: with fewer, the memory of each says nothing."""
    connections, wanted = part(options.connections, 1 / 10), part(options.wanted, 1 / 10)
    smaller = replace(options, connections=connections, wanted=wanted, fan_out=part(options.fan_out))
    return replace(smaller, turns=2, rounds=10, load_s=0.2, settling_s=0.2)


CASE: Final = Case(
    "sockets",
    "Hold real WebSockets on this machine, and send events to them.\n\n"
    "Memory for each idle connection, one event to many sockets, deliveries a second of single events and of bursts, "
    "and a small channel beside a hot one; the same with a bare server of the websockets library and its broadcast.",
    SocketsOptions,
    run,
    quick,
    stages=3 + len(_CONTESTS) + 1,
    background="Fanout passes chat messages on to those who are online. Clients hold a WebSocket to an instance of the "
    "notification service; fan-out workers send the instance each event once, in batches, and it writes the event to "
    "the sockets of all who read its channel. A delivery is one event to one socket. Server and clients run on this "
    "one machine, in processes of their own, and every frame goes through the kernel's TCP.",
)
