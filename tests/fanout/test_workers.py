"""What services tell each other is decoded or refused, whatever it is."""

from collections.abc import Callable

import msgspec
import pytest

from fanout.workers import (
    PresenceChange,
    PresenceDigest,
    PresenceSetPage,
    PresenceSetRequest,
    RoutingConfirmed,
    WorkerNotice,
    decode_control,
    decode_digest,
    decode_notice,
    decode_presence_change,
    decode_presence_set_page,
)

CASES: list[tuple[Callable[[bytes], msgspec.Struct], msgspec.Struct]] = [
    (decode_notice, WorkerNotice("worker-1", ready=True, partitions={1: 5, 2: 6}, members_upto=9, notice_id="n1")),
    (decode_presence_change, PresenceChange("alice", online=True, instance_id="notif-1", incarnation="1", number=7)),
    (decode_digest, PresenceDigest("notif-1", "1", 2, 3)),
    (
        decode_presence_set_page,
        PresenceSetPage("notif-1", "1", "7", 0, last=True, users=["alice", "Bob_-9"], announced=4),
    ),
    (decode_presence_set_page, PresenceSetPage("notif-1", "1", "7", 0, last=True, users=[], announced=4)),
    (decode_control, RoutingConfirmed("worker-1", "1", {"alice": 7}, members_upto=9)),
    (decode_control, PresenceSetRequest("worker-1", "7")),
    (decode_control, PresenceSetRequest("worker-1", "7", (2, 2**64 - 1))),
    (
        decode_presence_set_page,
        PresenceSetPage("notif-1", "1", "7", 0, last=True, users=[], announced=4, unchanged=True),
    ),
]


@pytest.mark.parametrize(("decode", "message"), CASES)
def test_what_was_encoded_is_decoded(decode: Callable[[bytes], msgspec.Struct], message: msgspec.Struct) -> None:
    assert decode(msgspec.json.encode(message)) == message


@pytest.mark.parametrize(("decode", "message"), CASES)
def test_a_field_of_a_newer_version_is_passed_over(
    decode: Callable[[bytes], msgspec.Struct], message: msgspec.Struct
) -> None:
    newer = msgspec.to_builtins(message) | {"newer": {"field": 1}}
    assert decode(msgspec.json.encode(newer)) == message


@pytest.mark.parametrize(
    "decode", [decode_notice, decode_digest, decode_presence_change, decode_presence_set_page, decode_control]
)
@pytest.mark.parametrize("payload", [b"", b"\xff", b"[" * 100_000, b'{"type":"newer"}', b"1", b'{"type":{}}'])
def test_anything_else_is_refused_by_one_error(decode: Callable[[bytes], msgspec.Struct], payload: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(payload)


@pytest.mark.parametrize(
    ("decode", "message"),
    [
        (decode_notice, WorkerNotice("worker 1", ready=True, partitions={})),
        (decode_digest, PresenceDigest("notif.1", "1", 2, 3)),
        (decode_presence_change, PresenceChange("a.b", online=True, instance_id="notif-1", incarnation="1", number=7)),
        (
            decode_presence_change,
            PresenceChange("alice", online=True, instance_id="notif 1", incarnation="1", number=7),
        ),
        (
            decode_presence_set_page,
            PresenceSetPage("notif-1", "1", "7", 0, last=True, users=["alice", "a:b"], announced=4),
        ),
        (
            decode_presence_set_page,
            PresenceSetPage("notif-1", "1", "7", 0, last=True, users=["alice", ""], announced=4),
        ),
        (decode_presence_set_page, PresenceSetPage("notif-1", "1", "7", 0, last=True, users=["a" * 129], announced=4)),
        (decode_presence_set_page, PresenceSetPage("notif-1\n", "1", "7", 0, last=True, users=[], announced=4)),
        (decode_control, PresenceSetRequest(">", "7")),
        (decode_control, PresenceSetRequest("w" * 129, "7")),
    ],
)
def test_an_id_that_could_reach_a_subject_or_the_table_is_refused(
    decode: Callable[[bytes], msgspec.Struct], message: msgspec.Struct
) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(msgspec.json.encode(message))
