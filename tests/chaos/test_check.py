"""The checker catches and names what is planted, and nothing else."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.check import BadJournal, Fault, Verdict, check

Journal = list[bytes]

COUNT = 60
CHANNELS = [b"red", b"green", b"blue"]
READ = [b"red", b"blue"]
PARTS = {b"red": b"0", b"green": b"0", b"blue": b"1"}

ACCEPTED: Journal = [b"%d %b msg-%d" % (seq, CHANNELS[seq % 3], seq) for seq in range(1, COUNT + 1)]


def receipts(accepted: Journal = ACCEPTED) -> Journal:
    """What a client that reads two of the channels should receive, in the order of the stream."""
    split = [line.split() for line in accepted]
    return [b"%b %b %b %b" % (seq, PARTS[channel], channel, name) for seq, channel, name in split if channel in READ]


def judged(received: Journal, accepted: Journal = ACCEPTED) -> Verdict:
    return check(accepted, [("client", [b"reads red blue", *received])])


def lose(received: Journal, at: int) -> None:
    del received[at]


def double(received: Journal, at: int) -> None:
    received.insert(at, received[at])


def swap(received: Journal, at: int) -> None:
    """Exchange an event with the next of its channel, which is the next but one."""
    at = min(at, len(received) - 3)
    received[at], received[at + 2] = received[at + 2], received[at]


def swap_in_part(received: Journal, at: int) -> None:
    """Exchange two neighbours, of two channels of the same part."""
    at = min(at, len(received) - 2)
    received[:] = [line.replace(b" 1 blue", b" 0 blue") for line in received]
    received[at], received[at + 1] = received[at + 1], received[at]


def invent(received: Journal, at: int) -> None:
    received.insert(at, b"1000 0 red msg-1000")


def misdirect(received: Journal, at: int) -> None:
    """An event of a channel that the client does not read."""
    received.insert(at, b"4 0 green msg-4")


def disguise(received: Journal, at: int) -> None:
    """A sequence that was accepted, with another event."""
    seq, part, channel, _ = received[at].split()
    received.insert(at, b"%b %b %b msg-0" % (seq, part, channel))


LAST = len(receipts()) - 1


@pytest.mark.parametrize(
    "at", [pytest.param(0, id="first"), pytest.param(17, id="middle"), pytest.param(LAST, id="last")]
)
@pytest.mark.parametrize(
    ("plant", "fault"),
    [
        (lose, Fault.LOST),
        (double, Fault.DOUBLED),
        (swap, Fault.SWAPPED),
        (swap_in_part, Fault.SWAPPED),
        (invent, Fault.FOREIGN),
        (misdirect, Fault.FOREIGN),
        (disguise, Fault.FOREIGN),
    ],
)
def test_a_planted_fault_is_caught_and_named(plant: Callable[[Journal, int], None], fault: Fault, at: int) -> None:
    received = receipts()
    plant(received, at)
    verdict = judged(received)
    assert not verdict.clean
    assert verdict.faults == {fault: 1}
    assert any(str(fault) in line for line in verdict.lines())
    assert all("client" in example for example in verdict.examples[fault])


def test_a_whole_journal_is_clean_in_any_order_that_keeps_each_channel_and_part() -> None:
    red = [line for line in receipts() if b" red " in line]
    blue = [line for line in receipts() if b" blue " in line]
    for received in (receipts(), red + blue, blue + red):
        verdict = judged(received)
        assert verdict.clean
        assert list(verdict.lines())[-1] == "clean"
        assert verdict.received == verdict.expected == len(receipts())


def test_the_order_in_which_events_were_accepted_is_not_that_of_the_stream() -> None:
    assert judged(receipts(), ACCEPTED[::-1]).clean


def test_every_client_is_judged_by_its_own_channels() -> None:
    nothing = ("nothing", [b"reads"])
    idle = ("idle", [b"reads silent"])
    deaf = ("deaf", [b"reads green"])
    verdict = check(ACCEPTED, [nothing, ("client", [b"reads red blue", *receipts()]), idle, deaf])
    assert verdict.clients == 4
    assert verdict.faults == {Fault.LOST: COUNT // 3}
    assert "deaf" in verdict.examples[Fault.LOST][0]


@pytest.mark.parametrize("line", [b"7 red msg-x", b"61 red msg-6"])
def test_an_event_accepted_at_two_places_is_caught(line: bytes) -> None:
    assert judged(receipts(), [*ACCEPTED, line]).faults[Fault.CLASHING] == 1


def test_a_promise_is_kept_only_when_all_before_it_came() -> None:
    whole = receipts()
    last = int(whole[9].split()[0])
    for upto, at, kept in [(last, 10, True), (last, 9, False), (last - 1, 9, True), (0, 0, True), (COUNT, LAST, False)]:
        verdict = judged([*whole[:at], b"upto %d" % upto, *whole[at:]])
        assert verdict.faults == ({} if kept else {Fault.PROMISED: 1})


def test_a_promise_of_what_never_came_is_broken() -> None:
    faults = judged([*receipts()[1:], b"upto 60"]).faults
    assert faults == {Fault.LOST: 1, Fault.PROMISED: 1}


def test_only_the_first_examples_are_told_and_all_are_counted() -> None:
    verdict = judged([])
    assert verdict.faults[Fault.LOST] == len(receipts())
    assert len(verdict.examples[Fault.LOST]) == 5


@pytest.mark.parametrize("torn", [b"12", b"12 0 red", b"twelve 0 red msg-12", b"", b"upto", b"12 0 red msg-12 more"])
def test_a_journal_that_cannot_be_read_is_no_verdict(torn: bytes) -> None:
    with pytest.raises(BadJournal):
        judged([*receipts(), torn])


def test_a_journal_without_its_channels_is_no_verdict() -> None:
    with pytest.raises(BadJournal):
        check(ACCEPTED, [("client", receipts())])


def run(folder: Path, received: Journal) -> subprocess.CompletedProcess[str]:
    accepted, journal = folder / "accepted", folder / "client-1"
    accepted.write_bytes(b"\n".join(ACCEPTED) + b"\n")
    journal.write_bytes(b"\n".join([b"reads red blue", *received]) + b"\n")
    command = [sys.executable, "-m", "tests.chaos.check", str(accepted), str(journal)]
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_the_program_says_what_it_found_and_its_exit_code_too(tmp_path: Path) -> None:
    clean = run(tmp_path, receipts())
    assert (clean.returncode, clean.stderr) == (0, "")
    assert "clean" in clean.stdout.splitlines()
    broken = run(tmp_path, receipts()[1:])
    assert broken.returncode == 1
    assert "1 lost:" in broken.stdout.splitlines()
    assert "client-1: seq 2, blue msg-2" in broken.stdout
    torn = run(tmp_path, [b"torn"])
    assert torn.returncode == 2
    assert "client-1, line 2" in torn.stderr


def naive(accepted: Journal, received: Journal) -> Counter[Fault]:
    """The definitions of the faults, word by word, each over all that came before."""
    events = {int(line.split()[0]): line.split()[1:] for line in accepted}
    genuine: list[tuple[int, bytes, bytes]] = []
    faults: Counter[Fault] = Counter()
    for line in received:
        seq, part, channel, name = int(line.split()[0]), *line.split()[1:]
        if channel not in READ or events.get(seq) != [channel, name]:
            faults[Fault.FOREIGN] += 1
        elif any(seq == other for other, _, _ in genuine):
            faults[Fault.DOUBLED] += 1
        else:
            later = [1 for other, of, within in genuine if other > seq and (of == channel or within == part)]
            faults[Fault.SWAPPED] += bool(later)
            genuine.append((seq, channel, part))
    wanted = {seq for seq, (channel, _) in events.items() if channel in READ}
    faults[Fault.LOST] = len(wanted - {seq for seq, _, _ in genuine})
    return +faults


STRANGE = [b"1 0 red msg-1", b"5 1 blue msg-4", b"99 0 red msg-99", b"3 1 red msg-3"]


@given(st.lists(st.sampled_from([*receipts(ACCEPTED[:9]), *STRANGE]), max_size=12))
def test_any_journal_is_judged_as_the_definitions_say(received: Journal) -> None:
    assert judged(received, ACCEPTED[:9]).faults == naive(ACCEPTED[:9], received)


@given(st.permutations(receipts(ACCEPTED[:9])))
def test_any_order_is_judged_as_the_definitions_say(received: Journal) -> None:
    assert judged(received, ACCEPTED[:9]).faults == naive(ACCEPTED[:9], received)
