"""The frames that an instance composes itself."""

import json

from services.notification.server_frames import server_frame
from tests.support.harness import text_payloads


def test_a_server_frame_leaves_out_what_is_none() -> None:
    (payload,) = text_payloads(server_frame("auth.ok", user_id="alice", platform=None))
    assert json.loads(payload) == {"type": "auth.ok", "user_id": "alice"}
