"""What a module of client frames is written with."""

import json

import msgspec

from fanout.error_codes import INVALID_ID
from services.notification.client_frames.handlers import BadFrame, type_of
from tests.support.harness import text_payloads


class Wave(msgspec.Struct, frozen=True, tag="hand.wave"):
    times: int


def test_the_type_of_a_frame_is_its_tag() -> None:
    assert type_of(Wave) == "hand.wave"


def test_an_error_names_the_frame_that_it_answers() -> None:
    (payload,) = text_payloads(BadFrame.of(Wave(1), INVALID_ID, "why").answer())
    assert json.loads(payload) == {
        "type": "error",
        "code": "invalid_id",
        "message": "why",
        "offending_type": "hand.wave",
    }
