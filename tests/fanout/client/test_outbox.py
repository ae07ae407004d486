"""Reads and receipts arrive, whatever becomes of the connection."""

import json

import pytest

from fanout.client import OutboxFull
from fanout.client import outbox as outbox_module
from fanout.client.outbox import Outbox


def about(frames: list[str]) -> list[tuple[str, str]]:
    return [(frame["type"], frame["message_id"]) for frame in map(json.loads, frames)]


def test_the_last_pointer_of_a_channel_is_sent_and_each_receipt() -> None:
    outbox = Outbox()
    outbox.mark_read("c", "m1")
    outbox.mark_read("c", "m2")
    outbox.message_read("c", "m1")
    outbox.message_read("c", "m2")
    sent = about(outbox.take_unsent())
    assert sent == [("mark_read", "m2"), ("message.read", "m1"), ("message.read", "m2")]
    assert outbox.take_unsent() == []


def test_the_answer_to_the_next_heartbeat_confirms_them() -> None:
    outbox = Outbox()
    outbox.note_heartbeat()
    outbox.mark_read("c", "m1")
    outbox.take_unsent()
    outbox.note_answer()  # of a heartbeat that was sent before
    assert len(outbox) == 1
    outbox.note_heartbeat()
    outbox.note_answer()
    assert len(outbox) == 0


def test_what_is_not_confirmed_is_sent_again_on_the_next_connection() -> None:
    outbox = Outbox()
    outbox.mark_read("c", "m1")
    outbox.take_unsent()
    outbox.note_heartbeat()
    outbox.note_loss()
    assert about(outbox.take_unsent()) == [("mark_read", "m1")]
    outbox.note_heartbeat()
    outbox.note_answer()
    assert len(outbox) == 0


def test_a_newer_pointer_is_not_confirmed_by_the_older_one() -> None:
    outbox = Outbox()
    outbox.mark_read("c", "m1")
    outbox.take_unsent()
    outbox.note_heartbeat()
    outbox.mark_read("c", "m2")
    outbox.note_answer()
    assert about(outbox.take_unsent()) == [("mark_read", "m2")]


@pytest.mark.parametrize(("code", "repeated"), [("unavailable", 1), ("outcome_unknown", 1), ("not_a_member", 0)])
def test_what_a_store_could_not_take_is_sent_again(code: str, repeated: int) -> None:
    outbox = Outbox()
    outbox.mark_read("c", "m1")
    outbox.message_read("c", "m1")
    outbox.take_unsent()
    outbox.note_heartbeat()
    outbox.note_error(code, "mark_read")
    outbox.note_answer()
    assert about(outbox.take_unsent()) == [("mark_read", "m1")] * repeated
    outbox.note_heartbeat()
    outbox.note_answer()
    assert len(outbox) == 0


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "MOST_WAITING", 2)
    outbox = Outbox()
    outbox.mark_read("a", "m")
    outbox.mark_read("b", "m")
    outbox.mark_read("b", "m2")
    with pytest.raises(OutboxFull):
        outbox.message_read("c", "m")
