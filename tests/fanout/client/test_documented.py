"""`docs/client.md` names every event, call and error of the client."""

import inspect
from pathlib import Path

import pytest

from fanout.client import SessionEnded
from fanout.client.calls import UserCalls
from fanout.client.decoding import KNOWN

DOCUMENT = (Path(__file__).parents[3] / "docs" / "client.md").read_text()


@pytest.mark.parametrize(("frame_type", "event"), KNOWN.items())
def test_each_frame_is_listed_with_its_event(frame_type: str, event: type) -> None:
    assert f"`{frame_type}`" in DOCUMENT
    assert f"`{event.__name__}`" in DOCUMENT


@pytest.mark.parametrize(
    "call", [name for name, _ in inspect.getmembers(UserCalls, inspect.isfunction) if name[0] != "_"]
)
def test_each_call_is_described(call: str) -> None:
    assert f"`{call}(" in DOCUMENT


@pytest.mark.parametrize("error", SessionEnded.__subclasses__())
def test_each_way_in_which_a_session_ends_is_described(error: type) -> None:
    assert f"`{error.__name__}`" in DOCUMENT
