"""The frames that a client sends are one JSON object each."""

import json

from fanout.client import ResumePoint
from fanout.client.client_frames import encode


def test_a_frame_has_its_type_first() -> None:
    assert encode("ping") == '{"type":"ping"}'


def test_fields_and_partitions_are_encoded() -> None:
    frame = json.loads(encode("auth", token="t", resume=ResumePoint(5, {3: 7}, "l")))
    assert frame == {"type": "auth", "token": "t", "resume": {"seq": 5, "parts": {"3": 7}, "log": "l"}}
