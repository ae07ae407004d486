"""`fanout bench accepting`: what a message costs the gateway, beside one route without any framework."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from benchmarks import units
from benchmarks.apart import Stages
from benchmarks.case import Case, part
from benchmarks.cases.planning import Costs
from benchmarks.live.accepting import measure
from benchmarks.report import Figure, Report, Row, Table

_NOTES: Final = {
    "gateway": "A verified token, a limited rate, figures and the line of the access log; the log answers at once.",
    "route": "Decodes the same body and answers, which any gateway on this server has to do.",
}


class AcceptingOptions(msgspec.Struct, frozen=True):
    """How often."""

    messages: Annotated[int, Meta(ge=8, description="Messages to each, in each round.")] = 4_000
    rounds: int = 5  # of each, in turn, after one that is not counted


def run(options: AcceptingOptions, stages: Stages) -> Report:
    """Send the same messages to both; a `BenchError` if one was not accepted."""
    progress = stages("messages to the gateway, and to one route")
    taken = measure(options.messages, options.rounds)
    progress(1.0, "")
    rows = [Row(name, [Figure(taken[name], "s"), Figure(1 / taken[name], "/s")], note) for name, note in _NOTES.items()]
    text = (
        f"Processor time of the server's process, user and system: the median of {options.rounds} rounds, in turn. No "
        "broker is measured, and every answer is checked."
    )
    return Report(
        f"Accepting: {options.messages:,} messages",
        f"A message takes {units.duration(taken['gateway'])} of the gateway's processor time, "
        f"{units.times(taken['gateway'] / taken['route'])} what one route without any framework takes on the same "
        "server.",
        [],
        [Table("Accepting a message", text, ["for a message", "messages of a core"], rows, bars=[0])],
        {"taken": taken, "planning": Costs(gateway_s_per_message=taken["gateway"])},
    )


CASE: Final = Case(
    "accepting",
    "Send messages to the gateway, and see what each costs it.\n\n"
    "Beside one route without any framework on the same server. It needs no server: the log answers at once.",
    AcceptingOptions,
    run,
    lambda options: replace(options, messages=part(options.messages), rounds=2),
    stages=1,
    background="The gateway takes a message by a REST call: it verifies who sends it, limits the rate, checks the body "
    "and the membership, and stores the message in the log.",
)
