"""The last text of a channel arrives, and replaces no text of another device that it was not made from."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout.client import Draft, DraftLoad, DraftSaved, ErrorFrame, Event, OutboxFull, SyncDraft
from fanout.client import drafts as drafts_module
from fanout.client.drafts import DraftBox

CONFLICT = ErrorFrame(code="draft_conflict", offending_type="draft.save")


def saved(at: str, channel: str = "c") -> DraftSaved:
    return DraftSaved(channel_id=channel, updated_at=at)


def there(text: str | None, at: str, channel: str = "c") -> SyncDraft:
    draft = None if text is None else Draft(text=text, updated_at=at)
    return SyncDraft(channel_id=channel, draft=draft, updated_at=at)


def sent(box: DraftBox) -> list[tuple[Any, Any]]:
    """The text and the base of each frame that is to be sent."""
    frames = map(json.loads, box.take_unsent())
    return [(frame.get("text", "deleted"), frame["base_updated_at"]) for frame in frames]


def hear(box: DraftBox, *events: Event) -> None:
    for event in events:
        box.hear(event)


def test_an_edit_names_the_draft_that_it_was_made_from() -> None:
    box = DraftBox()
    box.save("c", {"text": "a"})
    assert sent(box) == [("a", None)]
    hear(box, saved("t1"))
    box.save("c", {"text": "ab"})
    assert sent(box) == [("ab", "t1")]
    hear(box, saved("t2"), there("of another device", "t3"))
    box.save("c", None)
    assert sent(box) == [("deleted", "t3")]


def test_while_one_is_under_way_the_last_of_the_others_waits() -> None:
    box = DraftBox()
    for text in ("a", "ab", "abc"):
        box.save("c", {"text": text})
        assert sent(box) == ([("a", None)] if text == "a" else [])
    hear(box, saved("t1"))
    assert sent(box) == [("abc", "t1")]


def test_a_loaded_draft_is_the_base_of_the_next_edit() -> None:
    box = DraftBox()
    hear(box, DraftLoad(channel_id="c", draft=Draft(text="a"), updated_at="t1"))
    box.save("c", {"text": "ab"})
    assert sent(box) == [("ab", "t1")]


def test_a_stale_edit_is_replaced_by_the_draft_that_there_is() -> None:
    """Written offline, while another device saved: that text stays."""
    box = DraftBox()
    hear(box, there("a", "t1"))
    box.save("c", {"text": "written offline"})
    hear(box, there("of another device", "t2"))
    assert sent(box) == [("written offline", "t1")]
    box.save("c", {"text": "written offline, too"})
    hear(box, CONFLICT)
    assert box.hear(there("of another device", "t2")) == [there("of another device", "t2")]
    assert sent(box) == []
    box.save("c", {"text": "made from that"})
    assert sent(box) == [("made from that", "t2")]


def test_a_late_save_does_not_bring_a_deleted_draft_back() -> None:
    box = DraftBox()
    box.save("c", {"text": "a"})
    box.take_unsent()
    box.save("c", None)
    hear(box, saved("t1"))
    assert sent(box) == [("deleted", "t1")]
    hear(box, saved("t2"))
    assert sent(box) == []


def test_an_edit_whose_answer_was_lost_is_sent_again() -> None:
    box = DraftBox()
    box.save("c", {"text": "a"})
    box.take_unsent()
    box.note_loss()
    assert sent(box) == [("a", None)]
    hear(box, CONFLICT, there("a", "t1"))  # it had been stored
    box.save("c", {"text": "ab"})
    assert sent(box) == [("ab", "t1")]


def test_an_edit_after_one_whose_answer_was_lost_is_made_from_that() -> None:
    box = DraftBox()
    box.save("c", {"text": "a"})
    box.take_unsent()
    box.save("c", {"text": "ab"})
    box.note_loss()
    assert sent(box) == [("ab", None)]
    hear(box, CONFLICT, there("a", "t1"))
    assert sent(box) == [("ab", "t1")]
    hear(box, saved("t2"))
    assert sent(box) == []


def test_a_refusal_whose_draft_was_lost_with_the_connection_is_asked_for_again() -> None:
    box = DraftBox()
    box.save("c", {"text": "a"})
    box.take_unsent()
    hear(box, CONFLICT)
    assert sent(box) == []
    box.note_loss()
    assert sent(box) == [("a", None)]


@pytest.mark.parametrize(
    ("code", "again"), [("unavailable", True), ("outcome_unknown", True), ("draft_too_long", False)]
)
def test_an_edit_that_a_store_could_not_take_is_sent_again(code: str, *, again: bool) -> None:
    box = DraftBox()
    box.save("c", {"text": "a"})
    box.save("d", {"text": "d"})
    box.take_unsent()
    hear(box, ErrorFrame(code=code, offending_type="draft.save"), saved("t1", "d"))
    assert sent(box) == ([("a", None)] if again else [])


def test_errors_of_other_frames_are_none_of_an_edit() -> None:
    box = DraftBox()
    box.save("c", {"text": "a"})
    box.take_unsent()
    hear(box, ErrorFrame(code="unavailable", offending_type="mark_read"))
    box.save("c", {"text": "b"})
    assert sent(box) == []
    hear(DraftBox(), CONFLICT)


def test_an_older_notice_does_not_take_the_base_back() -> None:
    box = DraftBox()
    box.save("c", {"text": "a"})
    box.take_unsent()
    hear(box, saved("t2"), there("older", "t1"))
    box.save("c", {"text": "b"})
    assert sent(box) == [("b", "t2")]


def test_a_store_that_lost_its_drafts_is_believed_when_it_refuses() -> None:
    box = DraftBox()
    hear(box, there("a", "t9"))
    box.save("c", {"text": "b"})
    box.take_unsent()
    hear(box, CONFLICT, there(None, ""))
    box.save("c", {"text": "c"})
    assert sent(box) == [("c", None)]


def test_the_program_is_told_of_no_draft_that_its_own_will_replace() -> None:
    box = DraftBox()
    box.save("c", {"text": "a"})
    box.take_unsent()
    assert box.hear(there("older", "t1")) == []
    load = DraftLoad(channel_id="c", draft=Draft(text="older"), updated_at="t1")
    assert box.hear(load) == [DraftLoad(channel_id="c", draft=Draft(text="a"))]
    assert box.hear(saved("t2")) == [saved("t2")]
    assert box.hear(load) == [load]


def test_the_program_is_told_of_a_draft_that_came_before_the_answer_and_is_newer() -> None:
    box = DraftBox()
    box.save("c", {"text": "a"})
    box.take_unsent()
    assert box.hear(there("newer", "t2")) == []
    assert box.hear(saved("t1")) == [saved("t1"), there("newer", "t2")]
    box.save("c", {"text": "b"})
    assert sent(box) == [("b", "t2")]


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts_module, "MOST_WAITING", 2)
    box = DraftBox()
    for channel in "aba":
        box.save(channel, {"text": "x"})
    with pytest.raises(OutboxFull):
        box.save("c", {"text": "x"})
    with pytest.raises(ValueError, match="may have"):
        box.save("a", {"text": "x" * drafts_module.LONGEST_FRAME})


class Server:
    """Keeps the draft of one channel as the contract has it."""

    def __init__(self) -> None:
        self.now = 0
        self.text: str | None = None
        self.at: str | None = None

    def change(self, text: str | None) -> None:
        self.now += 1
        self.text, self.at = text, f"{self.now:06}"

    def take(self, frame: dict[str, Any]) -> list[Event]:
        if frame["base_updated_at"] != self.at:
            return [CONFLICT, there(self.text, self.at or "")]
        self.change(frame.get("text"))
        return [saved(self.at or "")]


class Device:
    """A client and its program, beside a server on which another device saves, too."""

    def __init__(self) -> None:
        self.box, self.server = DraftBox(), Server()
        self.shown: str | None = None
        self.heard = ""
        """The newest time of a draft that the client heard of."""
        self.to_server: list[str] = []
        self.to_client: list[Event] = []

    def type(self, text: str) -> None:
        self.shown = text
        self.box.save("c", {"text": text})

    def other_device(self, text: str) -> None:
        self.server.change(text)
        self.to_client.append(there(text, self.server.at or ""))

    def send(self) -> None:
        self.to_server += self.box.take_unsent()

    def reach(self) -> None:
        """The server takes what was sent. It never replaces a text of the other device that the client has not got."""
        while self.to_server:
            text, at = self.server.text, self.server.at
            self.to_client += self.server.take(json.loads(self.to_server.pop(0)))
            assert self.server.at == at or not (text or "").startswith("other") or (at or "") <= self.heard

    def receive(self) -> None:
        while self.to_client:
            event = self.to_client.pop(0)
            self.heard = max(self.heard, getattr(event, "updated_at", "") or "")
            for told in self.box.hear(event):
                if isinstance(told, SyncDraft):
                    self.shown = None if told.draft is None else told.draft.text

    def lose(self) -> None:
        self.to_server.clear()
        self.to_client.clear()
        self.box.note_loss()
        if self.server.at is not None:
            self.to_client.append(there(self.server.text, self.server.at))  # in the catch-up


@given(st.lists(st.sampled_from(["type", "other_device", "send", "reach", "receive", "lose"]), max_size=40))
def test_the_program_shows_what_the_server_has_and_replaces_nothing_that_it_was_not_told(steps: list[str]) -> None:
    device = Device()
    for number, step in enumerate(steps):
        if step in {"type", "other_device"}:
            getattr(device, step)(f"{step} {number}")
        else:
            getattr(device, step)()
    for _ in range(4):
        device.send()
        device.reach()
        device.receive()
    assert device.shown == device.server.text
