"""Messages as rows of a table."""

import pytest

from fanout.events import StoredMessage
from fanout.message_rows import COLUMNS, message_of, values_of

SHORT = StoredMessage(
    message_id="msg_1", channel_id="general", sender_id="alice", text="Hi", sent_at="2026-02-01T10:00:00.000Z", seq=7
)
LONG = StoredMessage(
    message_id="msg_2",
    channel_id="general",
    sender_id="bob",
    text="Grüße",
    sent_at="2026-02-01T10:00:01.000Z",
    thread_id="msg_1",
    mentions=["alice"],
    attachments=[{"name": "ü.png", "size": 3}],
    client_msg_id="c1",
    seq=8,
)


@pytest.mark.parametrize("message", [SHORT, LONG])
def test_a_message_is_the_same_after_it_was_a_row(message: StoredMessage) -> None:
    assert message_of("general", values_of(message)) == message


def test_each_value_is_in_the_column_of_its_name() -> None:
    values = dict(zip(COLUMNS, values_of(LONG), strict=True))
    for name in set(COLUMNS) - {"mentions", "attachments"}:
        assert values[name] == getattr(LONG, name)
    assert (values["mentions"], values["attachments"]) == ('["alice"]', '[{"name":"ü.png","size":3}]')


def test_what_a_message_lacks_is_none() -> None:
    values = dict(zip(COLUMNS, values_of(SHORT), strict=True))
    assert {name for name, value in values.items() if value is None} == {
        "thread_id", "mentions", "attachments", "client_msg_id",
    }  # fmt: skip
