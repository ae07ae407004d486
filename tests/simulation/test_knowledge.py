import pytest

from tests.simulation.knowledge import Known, Read, knowledge_of
from tests.support.chronicle import ROOM, lived


def test_a_device_knows_what_it_got_and_what_it_read_over_all_its_sessions() -> None:
    chronicle = lived()
    chronicle.gets(5.0, "m2", 2)
    chronicle.closes(6.0)
    chronicle.opens(7.0)
    chronicle.reads(8.0, 2, 1, 2, asked=7.9, newest=3)
    chronicle.gets(9.0, "m4", 4, channel="new1")
    chronicle.frame(9.1, "typing", channel_id=ROOM, user_id="bob")
    chronicle.opens(1.0, "bob-phone")
    known = knowledge_of(chronicle.history)
    assert list(known["ann-phone"].messages) == [
        Known(ROOM, 2, "m2", "msg_m2"),
        Known(ROOM, 1, "m1", "msg_m1"),
        Known("new1", 4, "m4", "msg_m4"),
    ]
    assert known["ann-phone"].in_channel(ROOM) == {1: "m1", 2: "m2"}
    assert known["ann-phone"].reads == [Read(8.0, ROOM, 0, 0, 2, frozenset({1, 2}), 7.9, 3)]
    assert not known["bob-phone"].messages


def test_a_device_has_heard_of_a_channel_by_a_page_a_message_or_when_its_user_joined() -> None:
    chronicle = lived()
    chronicle.gets(5.0, "m1", 1)
    chronicle.gets(6.0, "m4", 4, channel="by-message")
    chronicle.reads(7.0, 4, channel="by-page")
    for at, kind, channel, user in (
        (8.0, "joined", "by-joining", "ann"),
        (9.0, "joined", "x", "bob"),
        (9.0, "left", "x", "ann"),
    ):
        chronicle.frame(at, f"member.{kind}", channel_id=channel, user_id=user)
    chronicle.frame(9.1, "typing", channel_id="y", user_id="ann")
    assert list(knowledge_of(chronicle.history)["ann-phone"].channels) == [ROOM, "by-message", "by-page", "by-joining"]


@pytest.mark.parametrize(("above", "below", "covered"), [(0, 0, [1, 2, 3]), (1, 0, [2, 3]), (1, 3, [2]), (3, 0, [])])
def test_a_page_covers_what_lies_between_its_bounds_and_is_said_to_be_complete(
    above: int, below: int, covered: list[int]
) -> None:
    read = Read(1.0, ROOM, above, below, 3, frozenset(), 0.9, None)
    assert [seq for seq in range(6) if read.covers(seq)] == covered


@pytest.mark.parametrize(
    ("channel", "seq", "since", "was_read"),
    [
        (ROOM, 2, 5.9, True),
        (ROOM, 2, 6.0, False),
        ("new1", 2, 5.9, False),
        (ROOM, 1, 5.9, False),
        (ROOM, 3, 5.9, False),
    ],
)
def test_a_message_was_read_if_a_page_after_a_time_covers_and_has_it(
    channel: str, seq: int, since: float, was_read: int
) -> None:
    chronicle = lived()
    chronicle.reads(6.0, 2, 2, 3)
    assert knowledge_of(chronicle.history)["ann-phone"].was_read(channel, seq, since) == was_read
