"""What `fanout bench sockets` measured, the figures that are made of it, and its tables."""

import os
from statistics import median
from typing import Final

import msgspec

from benchmarks import units
from benchmarks.histogram import Histogram
from benchmarks.live.sockets.figures import LOADS, NAMES, SERVERS, IdleFigures, LoadKind, Reach, Server, Turn, Way
from benchmarks.live.sockets.turns import NAP_S
from benchmarks.live.websocket_clients import AT_ONCE
from benchmarks.report import Cell, Figure, Plot, Row, Table, distribution, figures

BURST: Final = 8
"""Events that are sent to the same sockets at once."""
TELLING: Final = 10_000
"""Idle connections: of fewer, what each takes is told too high, with a share of what the process takes anyway."""
KIB: Final = 1024
_HUNDRED: Final = 100
_BUSY, _AT_WORK = 0.95, 0.5
"""Of all cores, from which on they count as full; of a core, from which on a process may be a bottleneck."""
_READERS: Final[dict[Reach, str]] = {"one": "one reader", "ten": "ten readers", "hundred": "a hundred readers"}
_LOADS: Final[dict[LoadKind, str]] = {
    "none": "beside nothing",
    "even": "beside channels of a hundred readers",
    "hot": "beside a channel that all read",
}

Contest = dict[Way, list[Turn]]


class Measured(msgspec.Struct, frozen=True):
    """All of it.

    Single events with pauses, for the sake of delays; single ones and bursts of eight without, also by the floor;
    events to as many channels as there are for the sockets, by how many read each; the small channel beside a load.
    """

    idle: dict[Server, IdleFigures]
    last: Contest
    single: Contest
    bursts: Contest
    many: dict[Reach, Contest]
    floods: dict[LoadKind, Contest]

    def contests(self) -> dict[str, Contest]:
        """Those of which deliveries are compared, by what they are called."""
        many = {f"channels of {_READERS[reach]}": contest for reach, contest in self.many.items()}
        return {"single events": self.single, f"bursts of {BURST}": self.bursts, **many}


def per_server_second(turns: list[Turn]) -> float:
    """Deliveries per second of the server's processor time, the median of the turns: what is compared."""
    return median(turn.per_server_second for turn in turns)


def ratio(contest: Contest) -> float:
    """How many times as many deliveries the service makes, per second of the server's processor time."""
    return per_server_second(contest["service"]) / per_server_second(contest["plain"])


def shares(*contests: list[Turn]) -> dict[str, float]:
    """Of the delays that are told: the 99th of a hundred only where there are as many."""
    enough = all(_delays(turns).count >= _HUNDRED for turns in contests)
    return {"median": 0.5, **({"99 of 100": 0.99} if enough else {}), "longest": 1.0}


def delay_s(turns: list[Turn], share: float = 0.5) -> float:
    """The delay that a share of the events does not exceed."""
    return _delays(turns).percentile(share) / 1e9


def tables(asked: int, channels: int, fan_out: int, measured: Measured) -> list[Table]:
    """Every table, in order; `asked` idle connections were wanted, and `channels` are those of each."""
    return [
        _idle(asked, channels, measured.idle),
        _last(fan_out, measured.last),
        _deliveries(fan_out, measured),
        _fairness(fan_out, measured),
        _busy(measured),
    ]


def _per_second(turns: list[Turn]) -> float:
    return median(turn.per_second for turn in turns)


def _delays(turns: list[Turn]) -> Histogram:
    counted = Histogram()
    for turn in turns:
        counted.record(turn.delays_ns)
    return counted


def _told(turns: list[Turn], told: dict[str, float]) -> list[Cell]:
    delays = figures("s", (delay_s(turns, share) for share in told.values()))
    return [*delays, Figure(_delays(turns).count, "number")]


def _delay_plot(title: str, lines: dict[str, list[Turn]]) -> Plot:
    return distribution(title, "ms", {name: _delays(turns).curve() for name, turns in lines.items()}, 1e-6)


def _idle(asked: int, channels: int, idle: dict[Server, IdleFigures]) -> Table:
    held = idle["service"].connections
    text = (
        f"What {held:,} connections of {channels} channels added to the resident memory of the server's process, "
        "presence and routing included; the kernel's own memory for sockets is not in it. Connections were opened as "
        f"fast as they were let in, up to {AT_ONCE} at the same time."
    )
    if held < asked:
        text += f" {asked:,} were wanted; a process may open no more files here."
    if held < TELLING:
        text += f" With fewer than {TELLING:,}, the figure is too high: few share what the process takes anyway."
    rows = []
    for server, of in idle.items():
        memory = [Figure(of.each_bytes / KIB, "KiB"), Figure(of.resident_bytes, "bytes")]
        rows.append(Row(NAMES[server], [*memory, *figures("/s", (of.rate_by_server, of.rate))]))
    each = "each, too high" if held < TELLING else "each"
    columns = [each, "together", "opened by processor time", "by the clock"]
    return Table("Idle connections", text, columns, rows, bars=[0])


def _last(fan_out: int, contest: Contest) -> Table:
    told = shares(*contest.values())
    text = (
        "From when the batch with the event is published until the last client has the last byte. The clients read one "
        f"socket after another in one process, and look for more each {units.duration(NAP_S)}: both are part of it."
    )
    rows = [Row(NAMES[server], _told(contest[server], told)) for server in SERVERS]
    plot = _delay_plot("Until the last has it", {NAMES[server]: contest[server] for server in SERVERS})
    return Table(f"One event to {fan_out:,} sockets", text, [*told, "events"], rows, plots=[plot])


def _deliveries(fan_out: int, measured: Measured) -> Table:
    rows = []
    for what, contest in measured.contests().items():
        by_time = figures("/s", (per_server_second(contest[server]) for server in SERVERS))
        by_clock = figures("/s", (_per_second(contest[server]) for server in SERVERS))
        floor: Cell = Figure(per_server_second(contest["floor"]), "/s") if "floor" in contest else ""
        rows.append(Row(what, [*by_time, floor, Figure(ratio(contest), "times"), *by_clock]))
    text = (
        f"A delivery is one event to one of {fan_out:,} sockets; events are sent when all have those before. Per "
        "second of the server's processor time, user and system: that is what a core can deliver. The ratio is the "
        "service's by the other's. The floor is one os.write for each socket from a loop in Python: nearly what the "
        "kernel takes. By the clock, waiting for the clients and for a core is in it too. Medians of turns."
    )
    names = [NAMES[server] for server in SERVERS]
    columns = [*names, "the floor", "ratio", *(f"{name}, by the clock" for name in names)]
    return Table("Deliveries", text, columns, rows, bars=[0, 1, 2])


def _fairness(fan_out: int, measured: Measured) -> Table:
    told = shares(*(turns for contest in measured.floods.values() for turns in contest.values()))
    rows = []
    for server in SERVERS:
        for load, name in _LOADS.items():
            turns = measured.floods[load][server]
            rate: Cell = Figure(_per_second(turns), "/s") if load != "none" else ""
            rows.append(Row(f"{NAMES[server]}, {name}", [*_told(turns, told), rate]))
    text = (
        "Five clients in a process of their own read a channel that gets an event every 20 ms; the delay is from when "
        f"that was due until the last of the five has it. Of the load, two rounds of {fan_out:,} deliveries are always "
        "under way."
    )
    columns = [*told, "events", "deliveries of the load, by the clock"]
    plot = _delay_plot("Delay beside a load", {_LOADS[load]: measured.floods[load]["service"] for load in LOADS})
    return Table("A small channel beside a load", text, columns, rows, plots=[plot])


def _busy(measured: Measured) -> Table:
    contests = {"one event": measured.last} | measured.contests() | {"hot channel": measured.floods["hot"]}
    cores = len(os.sched_getaffinity(0))
    rows = []
    for what, contest in contests.items():
        for each in SERVERS:
            server = median(turn.server_s / turn.wall_s for turn in contest[each])
            clients = median(turn.clients_s / turn.wall_s for turn in contest[each])
            note = _verdict(server, clients, cores)
            rows.append(Row(f"{what}, {NAMES[each]}", figures("%", (100 * server, 100 * clients)), note))
    text = f"The share of one core that each process took, of {units.counted(cores, 'core')}. Clients only count bytes."
    return Table("Who was busy", text, ["server", "clients"], rows)


def _verdict(server: float, clients: float, cores: int) -> str:
    if max(server, clients) < _AT_WORK:
        return "Neither was busy: both waited, as in pauses, or for others at work on this machine."
    if clients > server:
        return "The clients were busier than the server: by the clock, they may be what was measured."
    if server + clients > _BUSY * cores:
        return "All cores were full: by the clock, the clients may be what was measured."
    return "The clients waited for the server."
