from typing import Any

from tests.simulation.evidence import Broken
from tests.simulation.history import Entry
from tests.simulation.repeats import Line, collapsed, grouped


def read(at: float, said: str = "reads", device: str = "ann-phone", channel: str = "room") -> Line:
    about: dict[str, Any] = {"device": device, "channel": channel}
    return Line(f"{at:8.3f} s  {device} {said} {channel}", Entry(at, "history", about))


def told(*lines: Line) -> list[str]:
    return [line.text.strip() for line in collapsed(lines)]


def test_equal_lines_of_a_device_become_one_that_says_how_many_there_were() -> None:
    lines = [read(1.0), read(2.0, device="bob-phone"), read(3.0), read(4.0, channel="hall"), read(5.0)]
    assert told(*lines) == [
        "1.000 s  ann-phone reads room; and so 2 times more, until 5.000 s",
        "2.000 s  bob-phone reads room",
        "4.000 s  ann-phone reads hall",
    ]


def test_a_line_that_differs_or_that_follows_something_else_of_the_device_is_told_again() -> None:
    opened = Line("   3.000 s  ann-phone is connected", Entry(3.0, "opened", {"device": "ann-phone"}))
    other = Line("   6.000 s  bob-phone is connected", Entry(6.0, "opened", {"device": "bob-phone"}))
    lines = [read(1.0), read(2.0, "lacks"), opened, read(4.0, "lacks"), other, read(7.0, "lacks")]
    assert told(*lines) == [
        "1.000 s  ann-phone reads room",
        "2.000 s  ann-phone lacks room",
        "3.000 s  ann-phone is connected",
        "4.000 s  ann-phone lacks room; and so once more, until 7.000 s",
        "6.000 s  bob-phone is connected",
    ]


def test_heartbeats_repeat_and_messages_do_not() -> None:
    def frame(at: float, kind: str) -> Line:
        return Line(f"{at:8.3f} s  {kind}", Entry(at, "frame", {"device": "ann-phone", "frame": {"type": kind}}))

    beats = [frame(1.0, "heartbeat.ok"), frame(2.0, "heartbeat.ok")]
    messages = [frame(3.0, "message.new"), frame(4.0, "message.new")]
    assert told(*beats, *messages) == [
        "1.000 s  heartbeat.ok; and so once more, until 2.000 s",
        "3.000 s  message.new",
        "4.000 s  message.new",
    ]


def test_broken_promises_that_differ_in_their_times_alone_are_one() -> None:
    broken = [
        Broken("heartbeat", "at 1.50 s ann was told that all up to 6 was delivered, and had not got m6"),
        Broken("heartbeat", "at 6.50 s ann was told that all up to 8 was delivered, and had not got m6"),
        Broken("heartbeat", "at 6.50 s ann was told that all up to 8 was delivered, and had not got m8"),
        Broken("missed", "ann never got m6"),
    ]
    assert list(grouped(broken)) == [f"heartbeat: {broken[0].what}; and so once more", *map(": ".join, broken[2:])]
