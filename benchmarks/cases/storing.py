"""`fanout bench storing`: messages into Cassandra, beside a bare loop of the driver, and pages of a history."""

import asyncio
import statistics
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from benchmarks import units
from benchmarks.apart import Stages
from benchmarks.case import Case, part
from benchmarks.live.servers import workplace
from benchmarks.live.storing import Read, Written, measure, ratio
from benchmarks.report import Figure, Report, Row, Table, at_least, at_most, figures

_RATIO: Final = 0.7
_FULL_MESSAGES: Final = 10_000


class StoringOptions(msgspec.Struct, frozen=True):
    """How much."""

    messages: Annotated[int, Meta(ge=500, description="Messages in each turn.")] = _FULL_MESSAGES
    channels: Annotated[int, Meta(ge=1, description="Channels that they are in, in turn.")] = 50
    rounds: int = 3


def run(options: StoringOptions, stages: Stages) -> Report:
    """Write messages in both ways, in turn, and read pages; a `BenchError` if one is missing or there twice."""
    progress = stages("messages into Cassandra by the adapter and by a bare loop, and pages")
    with workplace() as folder:
        written, read = asyncio.run(measure(folder, options.messages, options.channels, options.rounds))
    progress(1.0, "")
    full = options.messages >= _FULL_MESSAGES
    share = ratio(written)
    further = max(trips for walk in read.values() for trips in walk.round_trips[1:])
    first = max(walk.round_trips[0] for walk in read.values())
    return Report(
        f"Storing: {options.messages:,} messages in {options.channels:,} channels",
        f"The adapter stores {units.digits(share)} times as many messages per second as a bare loop with the same "
        "statements.",
        [
            at_least("messages per second, in parts of the bare loop's", share, _RATIO, "times", full=full),
            at_most("round trips of a page after the first", further, 1, "number", full=True),
            at_most("round trips of the first page", first, 3, "number", full=True),
        ],
        [_writing(written, options.messages), _reading(read)],
        {"written": written, "read": read},
    )


def _writing(written: list[Written], messages: int) -> Table:
    in_turn = {"adapter": [each.adapter for each in written], "bare loop": [each.bare for each in written]}
    statements = written[0].statements
    notes = ("In writes of 500.", f"The same {statements:,} statements, none of which waits for another.")
    rows = [
        Row(name, figures("/s", (statistics.median(rates), statistics.median(rates) * statements / messages)), note)
        for (name, rates), note in zip(in_turn.items(), notes, strict=True)
    ]
    text = f"Medians of {len(written)} turns, one node on the same machine. After each turn every row is there, once."
    return Table("Messages", text, ["messages", "statements"], rows, bars=[0])


def _reading(read: dict[str, Read]) -> Table:
    rows = [
        Row(
            name,
            [
                Figure(len(walk.seconds), "number"),
                Figure(walk.round_trips[0], "number"),
                Figure(max(walk.round_trips[1:]), "number"),
                Figure(statistics.median(walk.seconds), "s"),
            ],
        )
        for name, walk in read.items()
    ]
    text = "A channel of 300 messages in ten buckets, with 20 empty ones between each two; pages of 25."
    return Table("Pages", text, ["pages", "round trips of the first", "of another, at most", "time"], rows)


CASE: Final = Case(
    "storing",
    "Write messages to Cassandra, and read pages of a history.\n\n"
    "Beside a bare loop of the driver with the same statements. It starts a Cassandra of its own.",
    StoringOptions,
    run,
    lambda options: replace(options, messages=max(500, part(options.messages)), rounds=1),
    stages=1,
    background="The message writer stores the messages of the log in Cassandra. A message that comes again changes "
    "nothing, which takes more statements than a row.",
)
