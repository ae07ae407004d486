"""The parts of the report of `fanout bench sockets`."""

import os
from typing import Final

from benchmarks import units
from benchmarks.live.sockets.figures import NAMES, SERVERS, IdleFigures, Server, Turn
from benchmarks.live.sockets.messages import LOADS, LoadKind
from benchmarks.live.sockets.opening import AT_ONCE
from benchmarks.live.sockets.playing import NAP_S
from benchmarks.report import Bar, BarPlot, LinePlot, Row, Section, Series, Table
from benchmarks.reports.sockets_figures import (
    TELLING,
    Contest,
    Measured,
    clients_share,
    delays,
    per_second,
    per_server_second,
    server_share,
    shares,
)

_KIB: Final = 1024
_BUSY: Final = 0.95
"""Of all cores: from there on they count as full."""
_AT_WORK: Final = 0.5
"""Of a core: a process that takes less is no bottleneck."""
_LOADS: Final[dict[LoadKind, str]] = {
    "none": "beside nothing",
    "even": "beside channels of a hundred readers",
    "hot": "beside a channel that all read",
}


def all_of(asked: int, channels: int, fan_out: int, measured: Measured) -> list[Section]:
    """Every part, in order.

    Args:
        asked: idle connections that were wanted.
        channels: that each connection reads.
        fan_out: sockets to which events were sent.
        measured: what came out.
    """
    return [
        _idle(asked, channels, measured),
        _last(fan_out, measured.last),
        _deliveries(fan_out, measured),
        _fairness(fan_out, measured),
        _busy(measured),
    ]


def _idle(asked: int, channels: int, measured: Measured) -> Section:
    held = measured.idle["service"].connections
    each = "each, too high" if held < TELLING else "each"
    columns = [each, "together", "opened by processor time", "by the clock"]
    return Section(
        "Idle connections",
        f"Memory is what {held:,} connections added to the resident memory of the server's process, {channels} "
        "channels for each, presence and routing included, since here they are held by the same process. The kernel's "
        f"own memory for sockets is not in it.{_notes(asked, held)} Connections were opened as fast as they were let "
        f"in, up to {AT_ONCE} at the same time; no fan-out worker had to confirm that it knows of them.",
        [Table(columns, [_idle_row(server, figures) for server, figures in measured.idle.items()])],
        [
            BarPlot(
                "Memory of an idle connection",
                "Resident, in the server's process.",
                [
                    Bar(NAMES[server], figures.each_bytes, f"{units.digits(figures.each_bytes / _KIB)} KiB", at)
                    for at, (server, figures) in enumerate(measured.idle.items())
                ],
            )
        ],
    )


def _idle_row(server: Server, figures: IdleFigures) -> Row:
    cells = [
        f"{units.digits(figures.each_bytes / _KIB)} KiB",
        units.size(figures.resident_bytes),
        f"{units.count(figures.rate_by_server)}/s",
        f"{units.count(figures.rate)}/s",
    ]
    return Row(NAMES[server], cells, _IDLE_MEANINGS[server])


def _notes(asked: int, held: int) -> str:
    said = []
    if held < asked:
        said.append(f" {asked:,} were wanted; a process may open no more files here, so {held:,} were held.")
    if held < TELLING:
        said.append(
            f" With fewer than {TELLING:,} connections the memory of each is told too high: what the process takes "
            "anyway is shared out among few."
        )
    return "".join(said)


_IDLE_MEANINGS: Final[dict[Server, str]] = {
    "service": "Handshake, a signed token, presence, memberships and a session for each.",
    "plain": "The handshake alone, and a handler that waits for a message.",
}


def _last(fan_out: int, contest: Contest) -> Section:
    told = shares(*contest.values())
    return Section(
        f"One event to {fan_out:,} sockets",
        "From the moment that the batch with the event is published until the last client has the last byte, with a "
        "pause after each event. The clients read one socket after another in one process, and look for more each "
        f"{units.duration(NAP_S)}: both are part of it.",
        [
            Table(
                list(told),
                [
                    Row(NAMES[server], _delays(contest[server], told), _meaning_of_delays(contest[server]))
                    for server in SERVERS
                ],
            )
        ],
        [_delay_plot("Until the last has it", {NAMES[server]: contest[server] for server in SERVERS})],
    )


def _deliveries(fan_out: int, measured: Measured) -> Section:
    rows = [
        Row(what, _compared(contest), _MEANINGS[what.split(" ")[0]]) for what, contest in measured.contests().items()
    ]
    by_time = [f"{NAMES[server]}, of its time" for server in SERVERS]
    return Section(
        "Deliveries",
        f"A delivery is one event to one of {fan_out:,} sockets. Events are sent when all clients have those before. "
        "Of its time means per second of the server's processor time, user and system: that is what a core can "
        "deliver, and other programs of the machine hardly show in it. Targets are about the ratio of these, the "
        "service's by the other's: above 1, the service delivers more. By the clock, waiting for the clients and for "
        "a core is in it too. Both servers take turns; medians. The floor is one os.write for each socket from a loop "
        "in Python: nearly what the kernel takes; a loop outside the interpreter can be a little faster. Its times say "
        "how many times as many deliveries it makes as a server.",
        [
            Table([*by_time, "ratio", *(f"{NAMES[server]}, by the clock" for server in SERVERS), "ratio"], rows),
            _floors(measured),
        ],
        [
            BarPlot(
                "Deliveries",
                "Per second of the server's processor time.",
                [
                    Bar(
                        f"{what}, {NAMES[server]}",
                        per_server_second(contest[server]),
                        f"{units.count(per_server_second(contest[server]))}/s",
                        at,
                    )
                    for what, contest in measured.contests().items()
                    for at, server in enumerate(SERVERS)
                ],
            )
        ],
    )


def _floors(measured: Measured) -> Table:
    rows = [
        Row(
            f"the floor, {what}",
            [
                f"{units.count(per_server_second(contest['floor']))}/s",
                *(
                    units.times(per_server_second(contest["floor"]) / per_server_second(contest[each]))
                    for each in SERVERS
                ),
            ],
            "One os.write for each socket, from a loop in Python.",
        )
        for what, contest in measured.contests().items()
        if "floor" in contest
    ]
    return Table(["of its time", *(f"by that of the {NAMES[server]}" for server in SERVERS)], rows)


def _compared(contest: Contest) -> list[str]:
    cells = []
    for figure in (per_server_second, per_second):
        service, plain = (figure(contest[server]) for server in SERVERS)
        cells += [f"{units.count(service)}/s", f"{units.count(plain)}/s", units.times(service / plain)]
    return cells


_MEANINGS: Final = {
    "single": "One event to all sockets, then the next.",
    "bursts": "Eight events to all sockets at once, as a batch or as eight broadcasts; then the next eight.",
    "channels": "One event to each of so many channels that every socket gets one.",
}


def _fairness(fan_out: int, measured: Measured) -> Section:
    told = shares(*(turns for contest in measured.floods.values() for turns in contest.values()))
    rows = [
        Row(
            f"{NAMES[server]}, {_LOADS[load]}",
            [*_delays(turns, told), f"{units.count(per_second(turns))}/s" if load != "none" else ""],
            _beside(load, turns),
        )
        for server in SERVERS
        for load, turns in ((load, measured.floods[load][server]) for load in LOADS)
    ]
    return Section(
        "A small channel beside a load",
        "Five clients in a process of their own read a channel that gets an event every 20 ms; the delay is from when "
        f"that was due until the last of the five has it. The load is without pause: two rounds of {fan_out:,} "
        "deliveries are always under way, of one event to a channel that all others read, or of events to channels of "
        "a hundred.",
        [Table([*told, "deliveries of the load, by the clock"], rows)],
        [_delay_plot("Delay of the small channel", {_LOADS[load]: measured.floods[load]["service"] for load in LOADS})],
    )


def _beside(load: LoadKind, turns: list[Turn]) -> str:
    events = f"{units.counted(sum(len(turn.delays_ns) for turn in turns), 'event')} of the small channel"
    return f"{events}, {_LOADS[load]}."


def _busy(measured: Measured) -> Section:
    contests = {"one event": measured.last} | measured.contests() | {"hot channel": measured.floods["hot"]}
    cores = len(os.sched_getaffinity(0))
    rows = [
        Row(
            f"{what}, {NAMES[server]}",
            [f"{share(contest[server]) * 100:.0f} %" for share in (server_share, clients_share)],
            _verdict(contest[server], cores),
        )
        for what, contest in contests.items()
        for server in SERVERS
    ]
    return Section(
        "Who was busy",
        f"The share of one core that each process took, of {units.counted(cores, 'core')}. Clients only count bytes. "
        "Where they are busier than the server, or all cores are full, figures by the clock may be those of the "
        "clients; by the server's processor time they are not.",
        [Table(["server, of one core", "clients, of one core"], rows)],
    )


def _verdict(turns: list[Turn], cores: int) -> str:
    server, clients = server_share(turns), clients_share(turns)
    if max(server, clients) < _AT_WORK:
        return "Neither was busy: both waited, as in pauses, or for others at work on this machine."
    if clients > server:
        return "The clients were busier than the server: by the clock, the load generator may be what was measured."
    if server + clients > _BUSY * cores:
        return "All cores were full: by the clock, the load generator may be what was measured."
    return "The clients waited for the server."


def _delays(turns: list[Turn], told: dict[str, float]) -> list[str]:
    counted = delays(turns)
    return [units.duration(counted.percentile(share) / 1e9) for share in told.values()]


def _meaning_of_delays(turns: list[Turn]) -> str:
    return f"{units.counted(delays(turns).count, 'event')} in {units.counted(len(turns), 'turn')}."


def _delay_plot(title: str, lines: dict[str, list[Turn]]) -> LinePlot:
    return LinePlot(
        title,
        "How many events of a hundred were at least as fast.",
        "share that was at least as fast",
        "ms",
        [
            Series(name, [(share * 100, length / 1e6) for share, length in delays(turns).curve()])
            for name, turns in lines.items()
        ],
        y_scale="log",
    )
