from tests.simulation.knowledge import Known
from tests.simulation.known_messages import KnownMessages


def known() -> KnownMessages:
    """Two messages of a room, learned of in the wrong order, and one of another room."""
    messages = KnownMessages()
    messages.read("room", [[4, "m4", "msg_4"], [1, "m1", "msg_1"]])
    messages.hear(_frame("room", 3, "message.new"))
    messages.hear(_frame("other", 7, "thread.reply"))
    return messages


def test_messages_are_chosen_by_their_place_from_the_newest_one() -> None:
    chosen = [known().in_channel("room", nth) for nth in (0, 1, 2, 9)]
    assert [message.name for message in chosen if message] == ["m4", "m3", "m1", "m1"]
    assert known().in_channel("room", 1) == Known("room", 3, "m3", "msg_3")


def test_of_a_channel_that_was_never_heard_of_nothing_is_known() -> None:
    assert known().in_channel("elsewhere", 0) is None
    assert KnownMessages().elsewhere("room", 0) is None


def test_a_message_of_another_channel_is_found() -> None:
    assert known().elsewhere("room", 0) == Known("other", 7, "m7", "msg_7")
    assert known().elsewhere("other", 0) == Known("room", 4, "m4", "msg_4")


def test_its_channels_are_those_of_which_it_knows_something() -> None:
    assert known().channels == ["other", "room"]


def _frame(channel: str, seq: int, kind: str) -> dict[str, object]:
    message = {"client_msg_id": f"m{seq}", "message_id": f"msg_{seq}"}
    return {"type": kind, "channel_id": channel, "seq": seq, "message": message}
