"""Whether every client received all that was accepted of its channels, once and in order.

    python -m tests.chaos.check ACCEPTED RECEIVED...

It knows nothing of Fanout, and judges by journals alone: lines of fields with one space between them.

ACCEPTED has a line for each event that was accepted, in any order:

    {seq} {channel} {id}

Each RECEIVED is what one client received after all of its channels were subscribed: their names in the first line, then
a line for each receipt, in the order of arrival. A line `upto` is the server's word that all events of the client's
channels up to that sequence were delivered before it:

    reads {channel} {channel} ...
    {seq} {part} {channel} {id}
    upto {seq}

The faults that it names:

    clashing  a sequence that was accepted for two events, or an event for two sequences
    lost      an event of one of the client's channels that it never received
    doubled   an event that it had received before
    swapped   an event that came after a later one of its channel, or of its part
    foreign   an event that was not accepted as such, or of a channel that the client does not read
    promised  an `upto` that came before an event that it includes

The exit code is 0 without faults, 1 with some, and 2 where a journal cannot be read.
"""

import argparse
import sys
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from pathlib import Path

EXAMPLES = 5
"""Of each fault, how many are told."""


class Fault(StrEnum):
    CLASHING = "clashing"
    LOST = "lost"
    DOUBLED = "doubled"
    SWAPPED = "swapped"
    FOREIGN = "foreign"
    PROMISED = "promised"


class BadJournal(Exception):  # noqa: N818 - it describes the journal
    """A line that cannot be read: nothing can be said about the run."""


@dataclass
class Verdict:
    """What was found."""

    accepted: int = 0
    clients: int = 0
    expected: int = 0
    received: int = 0
    faults: Counter[Fault] = field(default_factory=Counter)
    examples: defaultdict[Fault, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def clean(self) -> bool:
        return not self.faults

    def note(self, fault: Fault, example: str) -> None:
        self.faults[fault] += 1
        if len(self.examples[fault]) < EXAMPLES:
            self.examples[fault].append(example)

    def lines(self) -> Iterator[str]:
        yield f"{self.accepted:,} events accepted"
        yield f"{self.received:,} receipts by {self.clients:,} clients, {self.expected:,} expected"
        for fault in Fault:
            if count := self.faults[fault]:
                yield f"{count:,} {fault}:"
                yield from (f"    {example}" for example in self.examples[fault])
        yield "clean" if self.clean else "NOT CLEAN"


class Accepted:
    """What was accepted: events by sequence, and each channel's sequences."""

    def __init__(self) -> None:
        self.events: dict[int, bytes] = {}
        """`{channel} {id}` by sequence."""
        self.seqs: defaultdict[bytes, list[int]] = defaultdict(list)
        self._stored: set[bytes] = set()

    def read(self, lines: Iterable[bytes], verdict: Verdict) -> None:
        for number, line in enumerate(lines, 1):
            try:
                seq, channel, name = line.split()
                self._add(int(seq), channel, b"%b %b" % (channel, name), verdict)
            except ValueError as error:
                raise BadJournal(f"line {number} of what was accepted is not `seq channel id`: {line!r}") from error
        verdict.accepted = len(self.events)

    def of_channels(self, channels: Iterable[bytes]) -> list[int]:
        """The sequences of all events of these channels, rising."""
        return sorted(chain.from_iterable(self.seqs.get(channel, ()) for channel in channels))

    def _add(self, seq: int, channel: bytes, event: bytes, verdict: Verdict) -> None:
        if seq in self.events:
            verdict.note(Fault.CLASHING, f"seq {seq}: {self.events[seq].decode()}, and {event.decode()}")
            return
        if event in self._stored:
            verdict.note(Fault.CLASHING, f"seq {seq}: {event.decode()}, which has another seq too")
        self._stored.add(event)
        self.events[seq] = event
        self.seqs[channel].append(seq)


class Client:
    """One client's journal, read line by line."""

    def __init__(self, name: str, channels: Iterable[bytes], accepted: Accepted, verdict: Verdict) -> None:
        self._name = name
        self._channels = frozenset(channels)
        self._accepted = accepted
        self._verdict = verdict
        self._came_at: dict[int, int] = {}
        self._latest: dict[tuple[str, bytes], int] = {}
        """The highest sequence of each channel and of each part."""
        self._promises: list[tuple[int, int]] = []

    def read(self, lines: Iterable[bytes]) -> None:
        """Read the lines behind the first."""
        for number, line in enumerate(lines, 2):
            fields = line.split()
            try:
                if fields[0] == b"upto":
                    self._promises.append((number, int(fields[1])))
                else:
                    seq, part, channel, name = fields
                    self._receive(number, int(seq), part, channel, name)
            except (ValueError, IndexError) as error:
                raise BadJournal(f"{self._name}, line {number} is no receipt: {line!r}") from error

    def finish(self) -> None:
        """Say what is missing, now that all is read."""
        expected = self._accepted.of_channels(self._channels)
        for seq in expected:
            if seq not in self._came_at:
                self._note(Fault.LOST, seq, self._accepted.events[seq])
        self._judge_promises(expected)
        self._verdict.clients += 1
        self._verdict.expected += len(expected)

    def _receive(self, number: int, seq: int, part: bytes, channel: bytes, name: bytes) -> None:
        self._verdict.received += 1
        event = b"%b %b" % (channel, name)
        if channel not in self._channels or self._accepted.events.get(seq) != event:
            self._note(Fault.FOREIGN, seq, event, number)
        elif seq in self._came_at:
            self._note(Fault.DOUBLED, seq, event, number)
        else:
            self._came_at[seq] = number
            late = self._is_late(seq, ("channel", channel)), self._is_late(seq, ("part", part))
            if any(late):
                self._note(Fault.SWAPPED, seq, event, number)

    def _is_late(self, seq: int, order: tuple[str, bytes]) -> bool:
        latest = self._latest.get(order, 0)
        if seq > latest:
            self._latest[order] = seq
        return seq < latest

    def _judge_promises(self, expected: list[int]) -> None:
        never = sys.maxsize
        complete_at, latest = [], 0
        for seq in expected:
            latest = max(latest, self._came_at.get(seq, never))
            complete_at.append(latest)
        for number, upto in self._promises:
            included = bisect_right(expected, upto)
            if included and complete_at[included - 1] > number:
                self._verdict.note(Fault.PROMISED, f"{self._name}, line {number}: upto {upto}")

    def _note(self, fault: Fault, seq: int, event: bytes, number: int | None = None) -> None:
        where = f"{self._name}, line {number}" if number else self._name
        self._verdict.note(fault, f"{where}: seq {seq}, {event.decode()}")


def check(accepted: Iterable[bytes], received: Iterable[tuple[str, Iterable[bytes]]]) -> Verdict:
    """Judge journals.

    Args:
        accepted: the lines of the journal of what was accepted.
        received: each client's name and the lines of its journal.

    Raises:
        BadJournal: a line is none of the format.
    """
    verdict = Verdict()
    events = Accepted()
    events.read(accepted, verdict)
    for name, lines in received:
        rest = iter(lines)
        first = next(rest, b"").split()
        if first[:1] != [b"reads"]:
            raise BadJournal(f"{name}: the first line does not say what the client reads")
        client = Client(name, first[1:], events, verdict)
        client.read(rest)
        client.finish()
    return verdict


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("accepted", type=Path, help="the journal of what was accepted")
    parser.add_argument("received", type=Path, nargs="+", help="each client's journal of what it received")
    arguments = parser.parse_args()
    began = time.monotonic()
    try:
        verdict = check(_lines(arguments.accepted), ((path.name, _lines(path)) for path in arguments.received))
    except (BadJournal, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(*verdict.lines(), sep="\n")
    print(f"checked in {time.monotonic() - began:.1f} s")
    return 0 if verdict.clean else 1


if __name__ == "__main__":
    sys.exit(main())
