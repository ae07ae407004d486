"""Pages of the history are cut by number and by bytes."""

import pytest

from fanout.events import encode
from fanout.pages import cut
from fanout.ports.messages import Page
from tests.support.stored import in_history

MESSAGES = [in_history(seq, text="\x01" * seq) for seq in (5, 4, 3)]
SIZES = [len(encode(message)) + 1 for message in MESSAGES]


@pytest.mark.parametrize(
    ("limit", "max_bytes", "fitting"),
    [
        (3, None, 3),
        (2, None, 2),
        (0, None, 0),
        (3, sum(SIZES), 3),
        (3, sum(SIZES) - 1, 2),
        (3, 0, 1),
        (1, sum(SIZES), 1),
    ],
)
def test_a_page_holds_what_fits_and_says_what_follows(limit: int, max_bytes: int | None, fitting: int) -> None:
    following = MESSAGES[fitting].seq if fitting < len(MESSAGES) else None
    assert cut(iter(MESSAGES), limit, max_bytes) == Page(MESSAGES[:fitting], following)


def test_one_message_more_is_taken_at_most() -> None:
    left = iter(MESSAGES)
    cut(left, 1, None)
    assert list(left) == MESSAGES[2:]


def test_of_nothing_there_is_an_empty_page() -> None:
    assert cut(iter([]), 5, 5) == Page([])
