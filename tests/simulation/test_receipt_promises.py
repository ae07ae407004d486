"""The promises about read receipts: each is broken by what breaks it, and by nothing else."""

from collections.abc import Callable

import pytest

from tests.support.chronicle import ROOM, Chronicle


def read() -> Chronicle:
    """Bob posts two messages. Ann, who is connected to the end, reads the first one at rest."""
    chronicle = Chronicle()
    chronicle.opens(0.5)
    for seq in (1, 2):
        chronicle.says(float(seq), f"m{seq}", seq)
        chronicle.gets(seq + 0.1, f"m{seq}", seq)
    chronicle.pointers = {"ann": 1}
    chronicle.rests(20.0)
    chronicle.note(22.0, "last marks")
    marks(chronicle, 22.5)
    chronicle.receipt(23.0, "m1", "ann", 1)
    return chronicle


def marks(chronicle: Chronicle, at: float, name: str = "m1", *, elsewhere: bool = False) -> None:
    about = {"device": "ann-phone", "user": "ann", "session": 1, "channel": ROOM, "elsewhere": elsewhere}
    chronicle.note(at, "marks read", **about, message=name, message_id=f"msg_{name}", seq=int(name[1:]))


def test_nothing_is_broken_where_each_receipt_is_stored_and_delivered() -> None:
    chronicle = read()
    chronicle.hears_of(23.5, 1)
    assert chronicle.broken() == []


def test_who_is_connected_to_the_end_gets_each_receipt() -> None:
    chronicle = read()
    assert chronicle.promises() == ["receipts"]
    assert "did not get that" in chronicle.broken()[0].what


@pytest.mark.parametrize(
    "excuse",
    [
        lambda chronicle: chronicle.closes(24.0),
        lambda chronicle: chronicle.frame(24.0, "full_refresh_required", reason="gap"),
        lambda chronicle: chronicle.asks(22.9, "leave", "ann", 23.1),
        lambda chronicle: chronicle.note(60.0, "passed over", counted="a gap"),
    ],
    ids=["its session ended", "it was told of a gap", "it left", "an instance passed over a gap"],
)
def test_who_may_have_missed_it_need_not(excuse: Callable[[Chronicle], None]) -> None:
    chronicle = read()
    excuse(chronicle)
    assert "receipts" not in chronicle.promises()


@pytest.mark.parametrize("stored", [{}, {"ann": "later"}])
def test_the_store_has_the_first_receipt_of_each_reader(stored: dict[str, str]) -> None:
    chronicle = read()
    chronicle.hears_of(23.5, 1)
    chronicle.receipts = {"msg_m1": stored}
    assert chronicle.promises() == ["receipts"]
    assert "by the receipt store" in chronicle.broken()[0].what


def test_a_second_receipt_of_a_reader_changes_nothing() -> None:
    chronicle = read()
    chronicle.receipt(23.2, "m1", "ann", 2)
    for seq in (1, 2):
        chronicle.hears_of(23.5, seq)
    assert chronicle.broken() == []
    chronicle.receipts = {"msg_m1": {"ann": "23.2"}}
    assert chronicle.promises() == ["receipts"]


def test_of_ones_own_message_there_is_none() -> None:
    chronicle = read()
    chronicle.hears_of(23.5, 1)
    chronicle.receipt(23.2, "m2", "bob", 2)
    chronicle.hears_of(23.5, 2)
    assert chronicle.promises() == ["receipts"]
    assert "own message" in chronicle.broken()[0].what


def test_what_is_read_at_rest_is_a_receipt() -> None:
    chronicle = read()
    chronicle.hears_of(23.5, 1)
    marks(chronicle, 10.0, "m2")  # a fault may have eaten the frame
    marks(chronicle, 22.6, "m9", elsewhere=True)
    assert chronicle.broken() == []
    marks(chronicle, 22.7, "m2")
    assert "without a receipt" in "".join(broken.what for broken in chronicle.broken())


def test_nobody_gets_a_receipt_of_a_channel_that_was_never_theirs() -> None:
    chronicle = read()
    chronicle.hears_of(23.5, 1)
    chronicle.opens(1.0, "eve-phone")
    chronicle.hears_of(23.5, 1, "eve-phone")
    assert chronicle.promises() == ["theirs"]
