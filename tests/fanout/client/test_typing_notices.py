"""A notice is repeated while keys are pressed, and ended when they are not."""

import json

from fanout.client.typing_notices import TypingNotices


def types(frames: list[str]) -> list[str]:
    return [json.loads(frame)["type"] for frame in frames]


def test_keys_repeat_the_notice_every_three_seconds() -> None:
    notices = TypingNotices(3.0)
    assert types(notices.press("c", 0.0)) == ["typing.start"]
    assert notices.press("c", 1.0) == []
    assert notices.deadline == 3.0
    assert notices.expire(2.9) == []
    assert types(notices.expire(3.0)) == ["typing.start"]
    assert notices.deadline == 6.0


def test_it_ends_when_no_key_was_pressed_for_three_seconds() -> None:
    notices = TypingNotices(3.0)
    notices.press("c", 0.0)
    assert types(notices.expire(3.0)) == ["typing.stop"]
    assert notices.deadline is None


def test_it_is_stopped_once() -> None:
    notices = TypingNotices(3.0)
    notices.press("c", 0.0)
    assert types(notices.stop("c")) == ["typing.stop"]
    assert notices.stop("c") == []


def test_channels_are_apart() -> None:
    notices = TypingNotices(3.0)
    notices.press("a", 0.0)
    notices.press("b", 1.0)
    notices.press("b", 2.0)
    assert [json.loads(frame)["channel_id"] for frame in notices.expire(3.0)] == ["a"]
    assert notices.deadline == 4.0


def test_a_lost_connection_ends_all() -> None:
    notices = TypingNotices(3.0)
    notices.press("c", 0.0)
    notices.clear()
    assert notices.deadline is None
    assert types(notices.press("c", 1.0)) == ["typing.start"]
