"""What a row must hold, and that what is wrong with it is said without control characters."""

from datetime import UTC, datetime

import pytest

from fanout.ids import dm_channel_id
from services.importing.rows import BadRow, ChannelRow, MembershipRow, RowReader

CHANNELS, MEMBERSHIPS = RowReader(ChannelRow), RowReader(MembershipRow)
DM = dm_channel_id("alice", "bob").encode()


def test_a_channel_with_all_and_with_the_fewest_fields() -> None:
    assert CHANNELS.read(b'{"channel_id":"general","name":"General","created_by":"alice"}') == ChannelRow(
        "general", "General", "alice"
    )
    whole = (
        b'{"channel_id":"s","name":"S","created_by":"a","private":true,"created_at":"2024-05-06T07:08:09.123+02:00"}'
    )
    assert CHANNELS.read(whole) == ChannelRow(
        "s", "S", "a", private=True, created_at=datetime(2024, 5, 6, 5, 8, 9, 123_000, tzinfo=UTC)
    )


def test_a_membership_as_json_and_as_fields() -> None:
    assert MEMBERSHIPS.read(b'{"user_id":"bob","channel_id":"general"}\r\n') == MembershipRow("general", "bob")
    moment = datetime(2024, 5, 6, tzinfo=UTC)
    fields = {"user_id": "bob", "channel_id": "general", "joined_at": moment}
    assert MEMBERSHIPS.read(fields) == MembershipRow("general", "bob", moment)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"channel_id":"general","user', "truncated"),
        (b'{"channel_id":"general","user_id":"b\xffb"}', "is not UTF-8"),
        (b"\xff\xfe{\x00", "malformed"),
        (b'{"channel_id":"general"}', "user_id"),
        (b'{"channel_id":"gen.eral","user_id":"bob"}', "channel_id must be 1 to 128 characters"),
        (b'{"channel_id":"general","user_id":"bob\\n"}', "user_id must be 1 to 128 characters"),
        (b'{"channel_id":"general","user_id":""}', "user_id must be 1 to 128 characters"),
        (b'{"channel_id":"general","user_id":"' + b"b" * 129 + b'"}', "user_id must be 1 to 128 characters"),
        (b'{"channel_id":"general","user_id":7}', "Expected `str`, got `int`"),
        (b'{"channel_id":"general","user_id":"bob","role":"admin"}', "unknown field `role`"),
        (b'{"channel_id":"general","user_id":"bob","joined_at":"2024-05-06T07:08:09"}', "timezone"),
        (b'{"channel_id":"general","user_id":"bob","joined_at":"yesterday"}', "joined_at"),
        (b'{"channel_id":"general","user_id":"bob"} {}', "trailing"),
        (b"null", "Expected `object`, got `null`"),
        (b"[" * 50_000, "Expected `object`, got `array`"),
    ],
)
def test_a_membership_that_is_none(text: bytes, reason: str) -> None:
    with pytest.raises(BadRow, match=reason):
        MEMBERSHIPS.read(text)


@pytest.mark.parametrize(
    "text",
    [
        b'{"channel_id":"general","name":"","created_by":"alice"}',
        b'{"channel_id":"general","name":"' + b"n" * 201 + b'","created_by":"alice"}',
        b'{"channel_id":"general","name":"General","created_by":"a b"}',
        b'{"channel_id":"general","name":"General","created_by":"alice","private":"no"}',
    ],
)
def test_a_channel_that_is_none(text: bytes) -> None:
    with pytest.raises(BadRow):
        CHANNELS.read(text)


@pytest.mark.parametrize(
    ("reader", "text"),
    [
        (CHANNELS, b'{"channel_id":"%s","name":"General","created_by":"alice"}'),
        (MEMBERSHIPS, b'{"channel_id":"%s","user_id":"carol"}'),
    ],
    ids=["channel", "membership"],
)
def test_the_ids_of_direct_messages_are_not_imported(
    reader: RowReader[ChannelRow] | RowReader[MembershipRow], text: bytes
) -> None:
    with pytest.raises(BadRow, match="channel_id has the form of a direct message"):
        reader.read(text % DM)
    assert reader.read(text % DM[:-1]).channel_id == DM[:-1].decode()


def test_a_reason_has_no_control_characters_of_the_file() -> None:
    with pytest.raises(BadRow) as raised:
        MEMBERSHIPS.read(b'{"\\u001b[31m":1}')
    assert "\x1b" not in str(raised.value)
    with pytest.raises(BadRow) as raised:
        MEMBERSHIPS.check_fields(["channel_id", "user_id", "\x1b[31m"])
    assert "\x1b" not in str(raised.value)


def test_the_columns_of_a_table_are_checked() -> None:
    MEMBERSHIPS.check_fields(["user_id", "channel_id"])
    MEMBERSHIPS.check_fields(["user_id", "channel_id", "joined_at"])
    with pytest.raises(BadRow, match="lacks columns: user_id"):
        MEMBERSHIPS.check_fields(["channel_id"])
    with pytest.raises(BadRow, match="unknown columns: role; known are: channel_id, user_id, joined_at"):
        MEMBERSHIPS.check_fields(["channel_id", "user_id", "role"])
