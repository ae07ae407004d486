"""What hardware so many users online want, by what `fanout bench sockets` measured."""

import math
from typing import Final

from benchmarks import units
from benchmarks.live.sockets.limits import MOST_CONNECTIONS, RESERVED
from benchmarks.report import Row, Section, Table
from benchmarks.reports.sockets_figures import BURST, TELLING, Measured, per_server_second

USERS: Final = 100_000
"""Online, of the example."""
_TITLE: Final = "What to plan for"
_KIB: Final = 1024
_EACH_S: Final = 10
"""A user of the example gets an event so often."""
_LIMIT: Final = "FANOUT_MAX_CONNECTIONS"


def planning(measured: Measured, *, large: bool) -> Section:
    """The example.

    Args:
        measured: what came out.
        large: whether so much was sent to so many that the figures tell of a deployment.
    """
    held = measured.idle["service"].connections
    if not large or held < TELLING:
        return Section(
            _TITLE,
            "This run is too small for planning: what so few sockets take and get says little about many. Run fanout "
            f"bench sockets without options; from {TELLING:,} idle connections on, this part has an example.",
        )
    instances = math.ceil(USERS / MOST_CONNECTIONS)
    text = (
        f"An example: {USERS:,} users online, each with one connection, by what was measured here; for other numbers, "
        "all but the limits grow in proportion. Memory is that of the instances (fanout serve notification), without "
        "the kernel's own for sockets: plan for some KiB more for each that is idle, and for what is under way to "
        "clients that read slowly. An instance is a process of one core; leave half of it free, since bursts and "
        "reconnects come on top, and have an instance more than is needed, so that one may be lost. RAM of the "
        "fan-out workers is what fanout bench sizing is about."
    )
    rows = [*_memory_rows(measured, instances), *_core_rows(measured, instances)]
    return Section(_TITLE, text, [Table([f"{USERS:,} users"], rows)])


def _memory_rows(measured: Measured, instances: int) -> list[Row]:
    each = measured.idle["service"].each_bytes
    files = min(USERS, MOST_CONNECTIONS) + RESERVED
    return [
        Row(
            "memory for connections",
            [units.size(USERS * each)],
            f"{USERS:,} x {units.digits(each / _KIB)} KiB, in all instances together; the kernel's own memory for "
            "sockets is not in it.",
        ),
        Row(
            "instances",
            [f"{instances}"],
            f"At {MOST_CONNECTIONS:,} connections each, the default of {_LIMIT}; one more, if one may be lost.",
        ),
        Row(
            "descriptors of an instance",
            [f"{files:,}"],
            f"ulimit -n: one for each connection up to {_LIMIT}, and {RESERVED} for the rest; the unit for systemd "
            "in deploy/ allows more.",
        ),
    ]


def _core_rows(measured: Measured, instances: int) -> list[Row]:
    rate = USERS / _EACH_S
    single, bursts = (per_server_second(contest["service"]) for contest in (measured.single, measured.bursts))
    reconnecting = USERS / measured.idle["service"].rate_by_server
    return [
        Row(
            "cores, single events",
            [units.digits(rate / single)],
            f"If each user gets an event every {_EACH_S} s: {rate:,.0f} deliveries a second, of which a core makes "
            f"{units.count(single)}.",
        ),
        Row(
            f"cores, in bursts of {BURST}",
            [units.digits(rate / bursts)],
            f"As many deliveries, where {BURST} events for a socket come at once: a core makes {units.count(bursts)}.",
        ),
        Row(
            "all reconnect",
            [f"{units.digits(reconnecting)} core-seconds"],
            f"At {units.count(USERS / reconnecting)} connections for a second of a core; on {instances} instances, "
            f"each on a core of its own, {units.duration(reconnecting / instances)} by the clock at least.",
        ),
    ]
