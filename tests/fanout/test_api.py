"""Requests check what a JSON schema cannot say. What a client is told of the rest is tested with the gateway."""

from typing import Any

import msgspec
import pytest

from fanout.api import channels, history, messages, realtime
from fanout.api.channels import ChannelRequest, CreateChannel, InviteRequest
from fanout.api.history import MAX_SEQ, HistoryRequest
from fanout.api.messages import MAX_ATTACHMENT_BYTES, MAX_ATTACHMENT_DEPTH, SendMessage
from fanout.api.realtime import NoInstance
from fanout.errors import CallRejected, InvalidId

MESSAGE_ID = "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV"


def nested(depth: int) -> list[Any]:
    return [] if depth == 1 else [nested(depth - 1)]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (SendMessage, {"channel": "general\n", "text": "x"}),
        (SendMessage, {"channel": "general", "text": "x", "mentions": ["bob\n"]}),
        (CreateChannel, {"name": "General", "channel_id": "general\n"}),
        (CreateChannel, {"name": "General", "members": ["bob\n"]}),
        (ChannelRequest, {"channel": "general\n"}),
        (InviteRequest, {"channel": "general", "user_ids": ["bob\n"]}),
        (HistoryRequest, {"channel": "general\n"}),
        (HistoryRequest, {"channel": "general", "after": f"{MESSAGE_ID}\n"}),
    ],
)
def test_an_id_has_no_trailing_newline(kind: type[msgspec.Struct], fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidId):
        kind(**fields)


@pytest.mark.parametrize(
    ("attachments", "wrong"),
    [
        (nested(MAX_ATTACHMENT_DEPTH), ""),
        (nested(MAX_ATTACHMENT_DEPTH + 1), "nested deeper"),
        ([{"a": {"b": "x" * MAX_ATTACHMENT_BYTES}}], "must not exceed"),
        ([2**70], "beyond 64 bits"),
    ],
)
def test_attachments_are_such_as_every_reader_parses(attachments: list[Any], wrong: str) -> None:
    if not wrong:
        assert SendMessage("general", "x", attachments=attachments).attachments == attachments
        return
    with pytest.raises(ValueError, match=wrong):
        SendMessage("general", "x", attachments=attachments)


@pytest.mark.parametrize(
    "fields",
    [
        {"before": "1", "after": "1"},
        {"before": "1", "cursor": ""},
        {"after": "1", "cursor": "x"},
        {"after": str(MAX_SEQ + 1)},
    ],
)
def test_a_page_has_one_beginning_that_can_be(fields: dict[str, Any]) -> None:
    with pytest.raises(CallRejected):
        HistoryRequest("general", **fields)


def test_rows_are_named_by_their_resource_and_say_what_they_do() -> None:
    for module in (messages, channels, history, realtime):
        for row in module.CALLS:
            assert row.name.partition(".")[0] in {module.__name__.rpartition(".")[2], "chat", "channels"}
            assert row.summary
            assert row.meaning.endswith(".")


def test_a_client_may_read_why_there_is_no_instance() -> None:
    assert NoInstance.public_text
