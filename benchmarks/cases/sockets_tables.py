"""What `fanout bench sockets` measured, the figures that are made of it, and its tables."""

import os
from collections.abc import Callable
from statistics import median
from typing import Final

import msgspec

from benchmarks import units
from benchmarks.histogram import Histogram
from benchmarks.live.sockets.figures import LOADS, NAMES, SERVERS, IdleFigures, LoadKind, Reach, Server, Turn, Way
from benchmarks.live.sockets.turns import NAP_S
from benchmarks.live.websocket_opening import AT_ONCE
from benchmarks.report import Cell, Figure, Plot, Row, Table, distribution, figures, thinned

BURST: Final = 8
"""Events that are sent to the same sockets at once."""
TELLING: Final = 10_000
"""Idle connections: of fewer, what each takes is told too high, with a share of what the process takes anyway."""
_HUNDRED: Final = 100
_KIB: Final = 1024
_BUSY: Final = 0.95
"""Of all cores: from there on they count as full."""
_AT_WORK: Final = 0.5
"""Of a core: a process that takes less is no bottleneck."""
_READERS: Final[dict[Reach, str]] = {"one": "one reader", "ten": "ten readers", "hundred": "a hundred readers"}
_LOADS: Final[dict[LoadKind, str]] = {
    "none": "beside nothing",
    "even": "beside channels of a hundred readers",
    "hot": "beside a channel that all read",
}
_IDLE_NOTES: Final[dict[Server, str]] = {
    "service": "Handshake, a signed token, presence, memberships and a session for each.",
    "plain": "The handshake alone, and a handler that waits for a message.",
}
_NOTES: Final = {
    "single": "One event to all sockets, then the next.",
    "bursts": "Eight events to all sockets at once, as a batch or as eight broadcasts; then the next eight.",
    "channels": "One event to each of so many channels that every socket gets one.",
}

Contest = dict[Way, list[Turn]]


class Measured(msgspec.Struct, frozen=True):
    """All of it."""

    idle: dict[Server, IdleFigures]
    last: Contest
    """Single events with pauses, for the sake of delays."""
    single: Contest
    """Single events, the next when the last has arrived; also by the floor."""
    bursts: Contest
    """Eight at once; also by the floor."""
    many: dict[Reach, Contest]
    """Events to as many channels as there are for the sockets, by how many read each."""
    floods: dict[LoadKind, Contest]
    """The small channel beside a load."""

    def contests(self) -> dict[str, Contest]:
        """Those of which deliveries are compared, by what they are called."""
        return {
            "single events": self.single,
            f"bursts of {BURST}": self.bursts,
            **{f"channels of {_READERS[reach]}": contest for reach, contest in self.many.items()},
        }


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


def seconds_of_last(turns: list[Turn]) -> float:
    """The median delay."""
    return _delays(turns).percentile(0.5) / 1e9


def ratio_of_delays(turns: list[Turn], others: list[Turn], share: float) -> float:
    """Of the delay that a share of the events does not exceed."""
    return _delays(turns).percentile(share) / max(_delays(others).percentile(share), 1)


def tables(asked: int, channels: int, fan_out: int, measured: Measured) -> list[Table]:
    """Every table, in order.

    Args:
        asked: idle connections that were wanted.
        channels: that each connection reads.
        fan_out: sockets to which events were sent.
        measured: what came out.
    """
    return [
        _idle(asked, channels, measured.idle),
        _last(fan_out, measured.last),
        _deliveries(fan_out, measured),
        _floors(measured),
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
    counted = _delays(turns)
    return [
        *figures("s", (counted.percentile(share) / 1e9 for share in told.values())),
        Figure(counted.count, "number"),
    ]


def _delay_plot(title: str, lines: dict[str, list[Turn]]) -> Plot:
    return distribution(title, "ms", {name: thinned(_delays(turns).curve(), 1e-6) for name, turns in lines.items()})


def _idle(asked: int, channels: int, idle: dict[Server, IdleFigures]) -> Table:
    held = idle["service"].connections
    notes = []
    if held < asked:
        notes.append(f" {asked:,} were wanted; a process may open no more files here, so {held:,} were held.")
    if held < TELLING:
        notes.append(
            f" With fewer than {TELLING:,} connections the memory of each is told too high: what the process "
            "takes anyway is shared out among few."
        )
    rows = [
        Row(
            NAMES[server],
            [
                Figure(of.each_bytes / _KIB, "KiB"),
                Figure(of.resident_bytes, "bytes"),
                *figures("/s", (of.rate_by_server, of.rate)),
            ],
            _IDLE_NOTES[server],
        )
        for server, of in idle.items()
    ]
    return Table(
        "Idle connections",
        f"Memory is what {held:,} connections added to the resident memory of the server's process, {channels} "
        "channels for each, presence and routing included, since here they are held by the same process. The kernel's "
        f"own memory for sockets is not in it.{''.join(notes)} Connections were opened as fast as they were let in, up "
        f"to {AT_ONCE} at the same time; no fan-out worker had to confirm that it knows of them.",
        ["each, too high" if held < TELLING else "each", "together", "opened by processor time", "by the clock"],
        rows,
        bars=[0],
    )


def _last(fan_out: int, contest: Contest) -> Table:
    told = shares(*contest.values())
    return Table(
        f"One event to {fan_out:,} sockets",
        "From the moment that the batch with the event is published until the last client has the last byte, with a "
        "pause after each event. The clients read one socket after another in one process, and look for more each "
        f"{units.duration(NAP_S)}: both are part of it.",
        [*told, "events"],
        [Row(NAMES[server], _told(contest[server], told)) for server in SERVERS],
        plots=[_delay_plot("Until the last has it", {NAMES[server]: contest[server] for server in SERVERS})],
    )


def _deliveries(fan_out: int, measured: Measured) -> Table:
    rows = []
    for what, contest in measured.contests().items():
        cells: list[Cell] = []
        for figure in (per_server_second, _per_second):
            service, plain = (figure(contest[server]) for server in SERVERS)
            cells += [*figures("/s", (service, plain)), Figure(service / plain, "times")]
        rows.append(Row(what, cells, _NOTES[what.split(" ")[0]]))
    by_time, by_clock = ([f"{NAMES[server]}, {how}" for server in SERVERS] for how in ("of its time", "by the clock"))
    return Table(
        "Deliveries",
        f"A delivery is one event to one of {fan_out:,} sockets. Events are sent when all clients have those before. "
        "Of its time means per second of the server's processor time, user and system: that is what a core can "
        "deliver, and other programs of the machine hardly show in it. Targets are about the ratio of these, the "
        "service's by the other's: above 1, the service delivers more. By the clock, waiting for the clients and for "
        "a core is in it too. Both servers take turns; medians.",
        [*by_time, "ratio", *by_clock, "ratio by the clock"],
        rows,
        bars=[0, 1],
    )


def _floors(measured: Measured) -> Table:
    rows = []
    for what, contest in measured.contests().items():
        if "floor" in contest:
            floor = per_server_second(contest["floor"])
            ratios = figures("times", (floor / per_server_second(contest[each]) for each in SERVERS))
            rows.append(Row(what, [Figure(floor, "/s"), *ratios]))
    return Table(
        "The floor of deliveries",
        "One os.write for each socket from a loop in Python: nearly what the kernel takes; a loop outside the "
        "interpreter can be a little faster. Beside it, how many times as many deliveries it makes as a server.",
        ["of its time", *(f"by that of the {NAMES[server]}" for server in SERVERS)],
        rows,
    )


def _fairness(fan_out: int, measured: Measured) -> Table:
    told = shares(*(turns for contest in measured.floods.values() for turns in contest.values()))
    rows = []
    for server in SERVERS:
        for load in LOADS:
            turns = measured.floods[load][server]
            rate: Cell = Figure(_per_second(turns), "/s") if load != "none" else ""
            rows.append(Row(f"{NAMES[server]}, {_LOADS[load]}", [*_told(turns, told), rate]))
    return Table(
        "A small channel beside a load",
        "Five clients in a process of their own read a channel that gets an event every 20 ms; the delay is from when "
        f"that was due until the last of the five has it. The load is without pause: two rounds of {fan_out:,} "
        "deliveries are always under way, of one event to a channel that all others read, or of events to channels of "
        "a hundred.",
        [*told, "events", "deliveries of the load, by the clock"],
        rows,
        plots=[
            _delay_plot(
                "Delay of the small channel", {_LOADS[load]: measured.floods[load]["service"] for load in LOADS}
            )
        ],
    )


def _busy(measured: Measured) -> Table:
    contests = {"one event": measured.last} | measured.contests() | {"hot channel": measured.floods["hot"]}
    cores = len(os.sched_getaffinity(0))
    rows = []
    for what, contest in contests.items():
        for each in SERVERS:
            server, clients = _shares_of_a_core(contest[each])
            note = _verdict(server, clients, cores)
            rows.append(Row(f"{what}, {NAMES[each]}", figures("%", (100 * server, 100 * clients)), note))
    return Table(
        "Who was busy",
        f"The share of one core that each process took, of {units.counted(cores, 'core')}. Clients only count bytes. "
        "Where they are busier than the server, or all cores are full, figures by the clock may be those of the "
        "clients; by the server's processor time they are not.",
        ["server, of one core", "clients, of one core"],
        rows,
    )


def _shares_of_a_core(turns: list[Turn]) -> tuple[float, float]:
    figures_of: tuple[Callable[[Turn], float], ...] = (lambda turn: turn.server_s, lambda turn: turn.clients_s)
    server, clients = (median(figure(turn) / turn.wall_s for turn in turns) for figure in figures_of)
    return server, clients


def _verdict(server: float, clients: float, cores: int) -> str:
    if max(server, clients) < _AT_WORK:
        return "Neither was busy: both waited, as in pauses, or for others at work on this machine."
    if clients > server:
        return "The clients were busier than the server: by the clock, the load generator may be what was measured."
    if server + clients > _BUSY * cores:
        return "All cores were full: by the clock, the load generator may be what was measured."
    return "The clients waited for the server."
