"""`fanout bench unread`: the Redis commands of a message that is counted as unread, whatever its channel's size."""

from statistics import median
from typing import Final

from benchmarks import units
from benchmarks.apart import Stages, run_apart
from benchmarks.case import Case, part
from benchmarks.live.unread import FULL_MEMBERS, Cost, Message, UnreadOptions, run_unread
from benchmarks.report import Figure, Report, Row, Table, Target, at_least, at_most, exact, figures

_FOR_A_MENTION: Final = 4
_FEWER: Final = 1_000
"""Times the commands of the counter: an increment for each of 100,000 members."""


def run(options: UnreadOptions, stages: Stages) -> Report:
    """Count messages in both ways.

    Raises:
        BenchError: there is no server, or a count was wrong.
    """
    progress = stages(f"messages to channels of up to {options.members:,} members")
    seen = run_apart(run_unread, options)
    progress(1.0, "")
    largest = seen[-2]
    fewer = largest.increments.commands / largest.counter.commands
    faster = _taken(largest.increments) / _taken(largest.counter)
    return Report(
        f"Unread counts: channels of up to {options.members:,} members",
        f"A message to {largest.members:,} members takes {largest.counter.commands:,} Redis commands in "
        f"{units.counted(largest.counter.round_trips, 'round trip')}, and {units.times(fewer)} as many with an "
        f"increment for each member, which takes {units.times(faster)} as long.",
        [*targets(options, seen), exact("counts of members after each message", "all that were looked at")],
        [_table("Messages without mentions", seen[::2]), _table("Messages with mentions", seen[1::2])],
        {"messages": seen},
    )


def targets(options: UnreadOptions, seen: list[Message]) -> list[Target]:
    """The targets. Commands and round trips are counted, so they hold at any size."""
    plain, mentioning = seen[::2], seen[1::2]
    smallest, largest = plain[0], plain[-1]
    grown = max(each.counter.commands for each in plain) - smallest.counter.commands
    for_a_mention = max(
        (each.counter.commands - without.counter.commands) / each.mentions
        for without, each in zip(plain, mentioning, strict=True)
    )
    ratio = largest.increments.commands / largest.counter.commands
    return [
        at_most(
            f"commands of a message to {largest.members:,} members beyond those to {smallest.members}",
            grown,
            0,
            "number",
            full=True,
        ),
        at_most("commands for each mention", for_a_mention, _FOR_A_MENTION, "number", full=True),
        at_most("round trips of a message", max(each.counter.round_trips for each in seen), 1, "number", full=True),
        at_least(
            "commands with an increment for each member", ratio, _FEWER, "times", full=options.members >= FULL_MEMBERS
        ),
    ]


def _taken(cost: Cost) -> float:
    return median(cost.seconds)


def _table(title: str, messages: list[Message]) -> Table:
    rows = []
    for each in messages:
        ways = (each.counter, each.increments)
        counts = figures("number", (number for way in ways for number in (way.commands, way.round_trips)))
        times = figures("s", map(_taken, ways))
        name = f"{units.counted(each.members, 'member')}, {units.counted(each.mentions, 'mention')}"
        rows.append(Row(name, [*counts, *times, Figure(each.increments.commands / each.counter.commands, "times")]))
    columns = [
        "commands",
        "round trips",
        "commands, an increment for each member",
        "its round trips",
        "time",
        "its time",
        "commands saved",
    ]
    text = (
        "Commands that the server executed for one message, those of scripts included; the median time. The "
        "alternative sends its increments in pipelines of 100."
    )
    return Table(title, text, columns, rows, bars=[2])


CASE: Final = Case(
    "unread",
    "Count messages as unread in Redis, in channels of 2 to very many members.\n\n"
    "Beside an increment for each member. It starts a redis-server of its own, counts commands and round trips, and "
    "compares the counts of members after each message.",
    UnreadOptions,
    run,
    lambda options: UnreadOptions(part(options.members), min(options.rounds, 2)),
    stages=1,
    background="For each member of a channel, Redis can say how many messages are unread. The counter does not write "
    "to each of them: it counts the messages of the channel, and what is unread is a difference of two counts.",
)
