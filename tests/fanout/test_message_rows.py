"""Messages as rows of the tables of channels and of threads."""

from typing import Any

import msgspec
import pytest

from fanout.events import StoredMessage
from fanout.message_rows import FORMS, IN_CHANNELS, IN_THREADS, RowForm, forms_of

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
    also_send_to_channel=True,
    seq=8,
)
ALONE = msgspec.structs.replace(LONG, also_send_to_channel=False)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.owner)
@pytest.mark.parametrize("message", [msgspec.structs.replace(SHORT, thread_id="msg_1"), LONG, ALONE])
def test_a_message_is_the_same_after_it_was_a_row(form: RowForm, message: StoredMessage) -> None:
    assert form.message_of(form.owner_of(message), form.values_of(message)) == message


def test_a_message_without_a_thread_is_the_same_after_it_was_a_row_of_its_channel() -> None:
    assert IN_CHANNELS.message_of("general", IN_CHANNELS.values_of(SHORT)) == SHORT


@pytest.mark.parametrize("stored", [1, 0])
def test_a_store_without_booleans_gives_numbers_back(stored: int) -> None:
    values = [stored if value is True else value for value in IN_CHANNELS.values_of(LONG)]
    assert IN_CHANNELS.message_of("general", tuple(values)).also_send_to_channel is bool(stored)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.owner)
def test_each_value_is_in_the_column_of_its_name_and_none_is_left_out(form: RowForm) -> None:
    values = dict(zip(form.columns, form.values_of(LONG), strict=True))
    assert {form.owner, *form.columns} == set(StoredMessage.__struct_fields__)
    for name in set(form.columns) - {"mentions", "attachments"}:
        assert values[name] == getattr(LONG, name)
    assert (values["mentions"], values["attachments"]) == ('["alice"]', '[{"name":"ü.png","size":3}]')


def test_what_a_message_lacks_is_none() -> None:
    values = dict(zip(IN_CHANNELS.columns, IN_CHANNELS.values_of(SHORT), strict=True))
    assert {name for name, value in values.items() if value is None} == {
        "thread_id", "mentions", "attachments", "client_msg_id", "also_send_to_channel",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "forms"),
    [
        ({}, (IN_CHANNELS,)),
        ({"also_send_to_channel": True}, (IN_CHANNELS,)),
        ({"thread_id": "msg_1"}, (IN_THREADS,)),
        ({"thread_id": "msg_1", "also_send_to_channel": False}, (IN_THREADS,)),
        ({"thread_id": "msg_1", "also_send_to_channel": True}, (IN_CHANNELS, IN_THREADS)),
    ],
)
def test_a_reply_is_in_its_thread_and_in_the_channel_only_if_it_was_sent_there(
    fields: dict[str, Any], forms: tuple[RowForm, ...]
) -> None:
    assert forms_of(msgspec.structs.replace(SHORT, **fields)) == forms
