"""Each call of a program goes to the protocol with the time, if it needs it."""

from unittest.mock import Mock, call

from fanout.client.calls import UserCalls
from fanout.client.sender import Sender


class Caller(UserCalls):
    def __init__(self) -> None:
        self.sender = Mock(spec=Sender)

    def _tell(self) -> Sender:
        return self.sender

    @staticmethod
    def _now() -> float:
        return 7.0


def test_the_calls() -> None:
    caller = Caller()
    caller.mark_read("c", "m")
    caller.message_read("c", "m")
    caller.typing("c")
    caller.stop_typing("c")
    caller.save_draft("c", "hey", attachments=["a"])
    caller.delete_draft("c")
    caller.open_channel("c")
    caller.close_channel()
    caller.watch_presence(["bob"])
    caller.interacted()
    caller.set_state("idle")
    caller.ping()
    assert caller.sender.mock_calls == [
        call.mark_read("c", "m"),
        call.message_read("c", "m"),
        call.type("c", 7.0),
        call.stop_typing("c"),
        call.save_draft("c", {"text": "hey", "reply_to": None, "attachments": ["a"]}),
        call.save_draft("c", None),
        call.open_channel("c"),
        call.close_channel(7.0),
        call.watch_presence(["bob"]),
        call.set_state("active", 7.0),
        call.set_state("idle", 7.0),
        call.ping(),
    ]
