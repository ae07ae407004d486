"""The life of a client over its connections, without any socket."""

import json
from typing import Any

import pytest

from fanout.client import (
    AuthOk,
    ClientProtocol,
    Closing,
    Device,
    DeviceReplaced,
    Disconnected,
    Event,
    MessageNew,
    Phase,
    ProtocolViolation,
    ResumeDropped,
    ResumePoint,
    SessionEnded,
    TokenRefused,
)
from tests.support.model_server import DEVICE_ID

BROKEN = Closing(None, "")
POINT = ResumePoint(5, {3: 9}, "l")
WELCOME = {
    "type": "auth.ok",
    "user_id": "u",
    "session_id": "s",
    "device_id": "d",
    "heartbeat_s": 30,
    "seq": 5,
    "parts": {},
    "log": "l",
}
MESSAGE = {"message_id": "m", "channel_id": "c", "sender_id": "bob", "text": "hi", "sent_at": "t"}


def made(**options: Any) -> ClientProtocol:
    return ClientProtocol(Device(DEVICE_ID), 0.0, random=lambda: 0.5, **options)


def tell(client: ClientProtocol, now: float = 0.0, **frame: Any) -> None:
    client.receive(json.dumps(frame), now)


def connect(client: ClientProtocol, now: float = 0.0) -> dict[str, Any]:
    """Open a socket; returns the frame `auth`."""
    if client.phase is Phase.WAITING:
        assert client.deadline is not None
        client.handle_deadline(client.deadline)
    assert client.phase is Phase.CONNECTING
    client.connection_made("t", now)
    (auth,) = client.take_frames()
    decoded: dict[str, Any] = json.loads(auth)
    return decoded


def welcomed(client: ClientProtocol, now: float = 0.0, **fields: Any) -> dict[str, Any]:
    auth = connect(client, now)
    tell(client, now, **WELCOME, **fields)
    assert client.phase is Phase.OPEN
    return auth


def message(seq: int, part: int = 3) -> dict[str, Any]:
    return {"type": "message.new", "seq": seq, "part": part, "channel_id": "c", "message": MESSAGE}


def events(client: ClientProtocol) -> list[Event]:
    return [event for event, _ in client.take_events()]


def test_the_first_frame_says_who_the_client_is_and_no_point() -> None:
    client = ClientProtocol(Device(DEVICE_ID, "web", "active"), 0.0)
    assert connect(client) == {
        "type": "auth",
        "token": "t",
        "device_id": DEVICE_ID,
        "platform": "web",
        "state": "active",
    }


def test_an_imported_point_is_resumed_and_what_is_the_clients_own_is_not_sent() -> None:
    auth = connect(made(point=ResumePoint(5, {3: 9}, "l", {"c": 11})))
    assert auth["resume"] == {"seq": 5, "parts": {"3": 9}, "log": "l"}


def test_events_come_with_their_frames_and_move_the_point() -> None:
    client = made()
    welcomed(client)
    tell(client, **message(9))
    tell(client, **message(9))
    first, second = client.take_events()
    assert isinstance(first.event, AuthOk)
    assert isinstance(second.event, MessageNew)
    assert second.text == json.dumps(message(9))
    assert client.point == POINT
    client.connection_lost(BROKEN, 1.0)
    assert connect(client)["resume"] == {"seq": 5, "parts": {"3": 9}, "log": "l"}


def test_a_lost_connection_is_told_and_made_again_after_a_while() -> None:
    client = made()
    welcomed(client)
    events(client)
    client.connection_lost(Closing(1012, "draining; reconnect with jitter"), 100.0)
    assert (client.phase, client.deadline) == (Phase.WAITING, 100.25)
    assert events(client) == [Disconnected(reason="draining", code=1012, retry_in_s=0.25)]
    client.handle_deadline(100.2)
    assert client.phase is Phase.WAITING
    client.handle_deadline(100.25)
    assert client.phase.name == "CONNECTING"


def test_the_wait_grows_until_a_heartbeat_was_answered() -> None:
    client = made()
    waits = []
    for answered in (False, False, True):
        welcomed(client)
        if answered:
            tell(client, type="heartbeat.ok", seq=5)
        client.connection_lost(BROKEN, 0.0)
        waits.append(client.deadline)
    assert waits == [0.25, 0.5, 0.25]


def test_the_first_wait_is_spread_as_auth_ok_says() -> None:
    client = made()
    welcomed(client, reconnect_after_ms=20_000)
    client.connection_lost(BROKEN, 0.0)
    assert client.deadline == 10.0


def test_a_server_that_is_full_says_when_to_come_again() -> None:
    client = made()
    connect(client)
    client.connection_lost(Closing(1013, "full; retry_after_ms=4000"), 0.0)
    assert client.deadline == 4.0


def test_a_server_that_does_not_answer_is_given_up() -> None:
    client = made()
    connect(client)
    assert client.deadline == 30.0
    client.handle_deadline(30.0)
    assert client.gives_up == "the server did not answer the authentication"
    client.connection_lost(Closing(None, client.gives_up), 30.0)
    assert client.gives_up is None
    welcomed(client, 100.0)
    client.handle_deadline(130.0)
    assert client.gives_up is None
    client.handle_deadline(140.0)
    assert client.gives_up == "the server does not answer"


def test_what_is_not_read_for_a_while_is_no_silence() -> None:
    client = made()
    welcomed(client)
    client.handle_deadline(30.0)
    client.hold()
    client.handle_deadline(59.0)
    client.release(59.0)
    client.handle_deadline(60.0)
    assert client.gives_up is None


@pytest.mark.parametrize(
    ("code", "reason", "ending"), [(4409, "replaced", DeviceReplaced), (4400, "", ProtocolViolation)]
)
def test_some_ends_are_final(code: int, reason: str, ending: type[SessionEnded]) -> None:
    client = made()
    welcomed(client)
    client.connection_lost(Closing(code, reason), 0.0)
    assert (client.phase, type(client.ending), client.deadline) == (Phase.ENDED, ending, None)
    client.connection_lost(BROKEN, 0.0)
    assert client.phase is Phase.ENDED


def test_a_frame_that_cannot_be_read_is_final() -> None:
    client = made()
    welcomed(client)
    client.receive("nonsense", 0.0)
    assert (client.phase, type(client.ending)) == (Phase.ENDED, ProtocolViolation)
    tell(client, **message(9))
    assert len(events(client)) == 1


def test_a_token_that_cannot_be_renewed_ends_the_client() -> None:
    client = made()
    connect(client)
    client.connection_lost(Closing(4401, "token_expired: the token has expired"), 0.0)
    assert client.phase is Phase.ENDED
    assert str(client.ending) == "the server refused the token: token_expired: the token has expired (4401)"


def test_a_token_is_renewed_once_for_each_session() -> None:
    client = made(renews_token=True)
    refused = Closing(4401, "token_expired: the token has expired")
    for _ in range(2):
        connect(client)
        client.connection_lost(refused, 0.0)
        assert client.needs_token
        welcomed(client)
        assert not client.needs_token
        client.connection_lost(BROKEN, 0.0)
        assert not client.needs_token
    for _ in range(2):
        connect(client)
        client.connection_lost(refused, 0.0)
    assert isinstance(client.ending, TokenRefused)


def test_a_late_auth_may_be_sent_again_with_the_same_token() -> None:
    client = made()
    connect(client)
    client.connection_lost(Closing(4401, "no auth frame in time"), 0.0)
    assert client.phase is Phase.WAITING
    assert not client.needs_token


def fail_to_resume(client: ClientProtocol, code: int | None = None, *, is_open: bool = True) -> list[Event]:
    if is_open:
        welcomed(client)
    else:
        connect(client)
    client.connection_lost(Closing(code, ""), 0.0)
    return [event for event in events(client) if isinstance(event, ResumeDropped)]


def test_a_point_that_fails_three_times_is_dropped_and_said_to_be() -> None:
    client = made(point=POINT)
    assert fail_to_resume(client, 1011) == []
    assert fail_to_resume(client, None) == []
    assert fail_to_resume(client, 1013) == [ResumeDropped(point=POINT, attempts=3)]
    assert "resume" not in welcomed(client)
    assert client.point == ResumePoint(5, {}, "l")


def test_an_error_of_the_server_before_auth_ok_counts_too() -> None:
    client = made(point=POINT)
    dropped = [fail_to_resume(client, 1011, is_open=False) for _ in range(3)]
    assert dropped == [[], [], [ResumeDropped(point=POINT, attempts=3)]]


@pytest.mark.parametrize("code", [None, 1012, 1013, 4401])
def test_what_would_happen_to_any_client_does_not_count(code: int | None) -> None:
    client = made(point=POINT)
    for _ in range(5):
        assert fail_to_resume(client, code, is_open=False) == []
    assert client.point == POINT


def test_progress_begins_the_count_again() -> None:
    client = made(point=POINT)
    for seq in range(10, 20):
        assert fail_to_resume(client) == []
        welcomed(client)
        tell(client, **message(seq))
        client.connection_lost(BROKEN, 0.0)
        assert not any(isinstance(event, ResumeDropped) for event in events(client))


def test_a_complete_catch_up_begins_the_count_again() -> None:
    client = made(point=POINT)
    for _ in range(2):
        for _ in range(2):
            assert fail_to_resume(client) == []
        welcomed(client)
        tell(client, type="catchup.complete", tier=1, last_event_seq=client.point.seq if client.point else 0)
        client.connection_lost(BROKEN, 0.0)


def test_a_connection_that_could_not_be_made_is_no_failed_resume() -> None:
    client = made(point=POINT)
    fail_to_resume(client)
    for _ in range(5):
        assert client.deadline is not None
        client.handle_deadline(client.deadline)
        client.connection_lost(Closing(1011, "from a proxy"), 0.0)
    assert client.point == POINT


def test_a_closed_client_sends_what_waits_and_does_nothing_more() -> None:
    client = made()
    welcomed(client)
    client.sender.ping()
    client.close()
    assert [json.loads(frame)["type"] for frame in client.take_frames()] == ["ping"]
    assert (client.phase, client.ending, client.deadline) == (Phase.ENDED, None, None)
