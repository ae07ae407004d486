"""Client frames as they are declared: whatever comes is a frame, an `error`, or the end of the connection."""

import json
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout.ids import new_device_id
from services.notification import client_frames as package
from services.notification.client_frames.auth import Auth
from services.notification.client_frames.concerns import CLIENT_FRAMES
from services.notification.client_frames.handlers import BadFrame, FrameHandlers, MalformedFrame, type_of
from services.notification.client_frames.heartbeat import Heartbeat
from services.notification.client_frames.ping import Ping
from services.notification.client_frames.typing import TypingStart, TypingStop

decode = CLIENT_FRAMES.decode

DEVICE = new_device_id()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KINDS = [*sorted(CLIENT_FRAMES.types), "no.such.type", ""]
FIELDS = ["device_id", "token", "resume", "last_seen", "state", "focused_channel", "channel_id", "client_timestamp"]


def test_no_module_is_left_out() -> None:
    modules = [import_module(f"{package.__name__}.{found.name}") for found in iter_modules(package.__path__)]
    declared = [module.handlers for module in modules if isinstance(getattr(module, "handlers", None), FrameHandlers)]
    assert {type_of(frame) for handlers in declared for frame in handlers.by_type} == CLIENT_FRAMES.types


def bad(**frame: Any) -> BadFrame:
    with pytest.raises(BadFrame) as caught:
        decode(json.dumps(frame))
    return caught.value


@pytest.mark.parametrize(
    ("frame", "decoded"),
    [
        ({"type": "auth", "device_id": DEVICE, "token": "t"}, Auth(DEVICE, "t")),
        ({"type": "heartbeat"}, Heartbeat()),
        ({"type": "heartbeat", "state": "idle", "focused_channel": "c"}, Heartbeat(None, "idle", "c")),
        ({"type": "typing.start", "channel_id": "c"}, TypingStart("c")),
        ({"type": "typing.stop", "channel_id": "c"}, TypingStop("c")),
        ({"type": "ping", "of_a_later_version": 1}, Ping()),
    ],
)
def test_each_kind_of_frame_is_read(frame: dict[str, Any], decoded: object) -> None:
    assert decode(json.dumps(frame)) == decoded


@pytest.mark.parametrize(
    "frame",
    [b"{}", "", "[]", "1", "null", "{}", '{"type":1}', '{"type":null}', '{"type":"ping"', "[" * 100_000],
    ids=["binary", "empty", "list", "number", "null", "no type", "number", "no", "cut", "brackets"],
)
def test_what_is_no_object_with_a_type_ends_the_connection(frame: str | bytes) -> None:
    with pytest.raises(MalformedFrame):
        decode(frame)


def test_a_frame_that_is_not_known_is_answered() -> None:
    refused = bad(type="x" * 1000)
    assert (refused.code, refused.frame_type) == ("unknown_type", "x" * 64)


@pytest.mark.parametrize("channel", ["a.b", "a b", "*", ">", "", "x" * 129, "a:b"])
@pytest.mark.parametrize("frame", [{"type": "typing.start"}, {"type": "typing.stop"}, {"type": "heartbeat"}])
def test_an_id_that_could_reach_a_subject_or_a_key_is_refused(frame: dict[str, str], channel: str) -> None:
    field = "focused_channel" if frame["type"] == "heartbeat" else "channel_id"
    refused = bad(**frame, **{field: channel})
    assert (refused.code, refused.frame_type) == ("invalid_id", frame["type"])


@pytest.mark.parametrize("device", ["", "phone", "dev_ios_1", "dev_windows_01JD5T6Q9FZ0Y4W3V2B1N0M8K7", "dev_web_a:b"])
def test_a_device_id_of_another_form_is_refused(device: str) -> None:
    assert bad(type="auth", device_id=device).code == "invalid_id"


@pytest.mark.parametrize(
    "frame", [{"type": "auth"}, {"type": "typing.start"}, {"type": "heartbeat", "state": "asleep"}]
)
def test_a_field_that_is_missing_or_wrong_is_answered(frame: dict[str, str]) -> None:
    assert bad(**frame).code == "invalid_frame"


@given(JSON)
def test_json_of_any_kind_is_a_frame_or_refused(value: Any) -> None:
    with pytest.raises((BadFrame, MalformedFrame)):
        decode(json.dumps(value))


@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_fields_of_any_kind_are_taken_or_refused(kind: str, fields: dict[str, Any]) -> None:
    try:
        decoded = decode(json.dumps({**fields, "type": kind}))
    except (BadFrame, MalformedFrame):
        return
    assert type_of(type(decoded)) == kind


@given(st.text(max_size=200))
def test_text_of_any_kind_is_a_frame_or_refused(text: str) -> None:
    with pytest.raises((BadFrame, MalformedFrame)):
        decode(text)
