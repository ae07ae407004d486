"""The parts of the report of `fanout bench pipeline`."""

import math
from statistics import median
from typing import Final

from benchmarks import units
from benchmarks.live.feed import EVENT_BYTES
from benchmarks.live.pipeline.drains import WAYS, Drains, Way
from benchmarks.live.pipeline.latencies import KEPT_UP_S, AtRate, Latencies, Spread
from benchmarks.report import Bar, BarPlot, LinePlot, Row, Section, Series, Table

_TITLES: Final[dict[Way, str]] = {
    "worker": "the worker",
    "plain": "the straightforward way",
    "joined": "the same, acknowledged by the fetch",
}
_MEANINGS: Final[dict[Way, str]] = {
    "worker": "The service's own path: what is stored is wrapped and put into a batch for each instance.",
    "plain": "nats-py's fetch(200), msgspec, a dict, orjson, nc.publish for each instance, each event acknowledged.",
    "joined": "The last event of each fetch is acknowledged, and those before it with it.",
}
_PROCESSES: Final = {"worker": "worker", "nats-server": "nats-server", "sink": "inboxes"}
"""By the names of their figures: what they are called."""
_FULL: Final = 0.95
"""Of all cores."""
_SHARE: Final = 0.5
"""Of a core: what the generator and the clients may take each and still be taken for cheap."""
_OTHERS: Final = 0.25
"""Of a core: what others may take without being mentioned."""
_LATE_S: Final = 0.001
_NINES: Final = [(0.0, "0 %"), (1.0, "90 %"), (2.0, "99 %"), (3.0, "99.9 %"), (4.0, "99.99 %"), (5.0, "99.999 %")]
_LAST_NINE: Final = 6.0


def draining(drained: Drains, targets: int) -> Section:
    """The stream, drained by the worker and in other ways."""
    rows = [
        Row(
            _TITLES[way],
            [
                *(f"{units.count(rate)}/s" for rate in (drained.rate(way), *_extremes(drained, way))),
                *(units.duration(_processor(drained, way, name)) for name in _PROCESSES),
            ],
            _MEANINGS[way],
        )
        for way in WAYS
    ]
    columns = ["events, median", "slowest", "fastest", *(f"{name}, per event" for name in _PROCESSES.values())]
    return Section(
        "Draining a stream",
        f"A stream in files, in {drained.partitions} partitions, holds message events of {EVENT_BYTES} bytes, stored "
        f"by blocks at {units.count(drained.stored_per_second)} a second. One process reads it to its end and "
        f"publishes each event to {targets} instances, whose inboxes are one process more. The clock runs from the "
        "first request for events until nats-server has every acknowledgement. After it, what each instance got is "
        "read: every event was there, once, and in order. Ways take turns; the straightforward ones drain the "
        "beginning of the same stream. Beside the rate is the processor time of each process for one event.",
        [Table(columns, rows)],
        [
            BarPlot(
                "Events drained",
                f"Events per second, each to {targets} instances: longer is faster.",
                [
                    Bar(_TITLES[way], drained.rate(way), f"{units.count(drained.rate(way))}/s", int(way != "worker"))
                    for way in WAYS
                ],
            )
        ],
    )


def tier(through: Latencies) -> list[Section]:
    """The whole tier: how long messages took, and what took the processors."""
    return [_latency(through), _processors(through)]


def _extremes(drained: Drains, way: Way) -> tuple[float, float]:
    rates = [each.rate for each in drained.runs[way]]
    return min(rates), max(rates)


def _processor(drained: Drains, way: Way, name: str) -> float:
    """Seconds of a process for one event."""
    return median(each.processor[name] / each.events for each in drained.runs[way])


def _latency(through: Latencies) -> Section:
    shares = list(through.at_rates[0].moments.from_accept.percentiles)
    return Section(
        "From accept to socket",
        "Messages are stored at equal distances in time, whatever became of those before: where the generator or the "
        "log is late, the messages that should have gone meanwhile are late too, and that shows in the time since they "
        "were due. Accepted is the moment of the log's answer that it holds the message, at which a user gets 202; a "
        f"message that is at its reader before that took no time. {through.clients:,} clients, which are in "
        f"{through.memberships:,} channels in all, read their sockets and look at the same clock. After it, every "
        "client was found to have got every message of its channels, once and in order.",
        [Table(["per second", *shares, "longest"], [row for at in through.at_rates for row in _rows(at)])],
        [
            LinePlot(
                "From accept to socket",
                "How long the slowest of each share of deliveries took, by messages per second.",
                "share that was at least as fast",
                "ms",
                [Series(f"{at.rate:,.0f}/s", _curve(at.moments.from_accept)) for at in through.at_rates],
                y_scale="log",
                x_ticks=_NINES,
            ),
            LinePlot(
                "From when it was due to the socket",
                "The same, with what the generator and the log took before: nothing that was late is left out.",
                "share that was at least as fast",
                "ms",
                [Series(f"{at.rate:,.0f}/s", _curve(at.moments.from_plan)) for at in through.at_rates],
                y_scale="log",
                x_ticks=_NINES,
            ),
        ],
    )


def _rows(at: AtRate) -> list[Row]:
    of = at.moments
    messages, deliveries = (f"{units.count(rate)}/s" for rate in (at.rate, at.deliveries_per_second))
    return [
        _row(f"{at.rate:,.0f} messages/s: accept to socket", deliveries, of.from_accept, _kept_up(at)),
        _row("due to socket", deliveries, of.from_plan, "Since the message was due to be sent.", part=True),
        _row("due to accept", messages, of.accept, "Until the log had answered that it holds it.", part=True),
        _row("due to sent", messages, of.lateness, "How late the generator itself was.", part=True),
    ]


def _row(name: str, rate: str, spread: Spread, meaning: str, *, part: bool = False) -> Row:
    durations = [*spread.percentiles.values(), spread.longest]
    return Row(name, [rate, *map(units.duration, durations)], meaning, part)


def _kept_up(at: AtRate) -> str:
    if at.kept_up:
        return "The tier kept up."
    refused = f" The log refused {units.counted(at.refused, 'message')}." if at.refused else ""
    return (
        f"The tier did not keep up: in the second half the median was {units.duration(at.moments.late_half)} after a "
        f"message was due, more than {units.duration(KEPT_UP_S)}.{refused}"
    )


def _processors(through: Latencies) -> Section:
    names = list(through.at_rates[0].busy.processes)
    rows = [
        Row(
            f"{at.rate:,.0f} messages/s, of one core",
            [
                *(_percent(at.busy.processes[name]) for name in names),
                _percent(at.busy.others),
                _percent(at.busy.machine),
            ],
            load_in_words(at),
        )
        for at in through.at_rates
    ]
    return Section(
        "What took the processors",
        "Processor time of each process on the clock, in per cent of one core, and what all others on this machine "
        f"took, of one core too; at last how much of all {units.counted(through.at_rates[0].busy.cores, 'core')} was "
        "in use. Where all are full, processes wait for each other, and latencies say as much about the machine as "
        "about the tier.",
        [Table([*names, "others", "of all cores"], rows)],
        [
            BarPlot(
                "Processor time",
                f"Of one core, at {through.at_rates[-1].rate:,.0f} messages per second.",
                [
                    Bar(name, share, _percent(share), int(name in {"generator", "clients"}))
                    for name, share in through.at_rates[-1].busy.processes.items()
                ],
            )
        ],
    )


def load_in_words(at: AtRate) -> str:
    """Whether the load itself, or anything else, was what was measured."""
    said = [
        f"The {name} took more than half a core: they are part of what is measured."
        for name in ("generator", "clients")
        if at.busy.processes[name] > _SHARE
    ]
    if (late := at.moments.lateness.percentiles["p99"]) > _LATE_S:
        said.append(f"The generator was late, in 1 of 100 messages by {units.duration(late)} or more.")
    if at.busy.machine > _FULL:
        said.append("All cores were full.")
    if at.busy.others > _OTHERS:
        said.append(f"Other programs took {_percent(at.busy.others)} of one core.")
    return " ".join(said) or "The generator and the clients took little, and there was room on the cores."


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _curve(spread: Spread) -> list[tuple[float, float]]:
    """In milliseconds, over the nines; what took no time is below the axis."""
    return [(_nines(share), seconds * 1e3) for share, seconds in spread.curve if seconds > 0]


def _nines(share: float) -> float:
    """0.9 is 1, 0.99 is 2: so that the rare can be seen."""
    return min(-math.log10(1 - share), _LAST_NINE) if share < 1 else _LAST_NINE
