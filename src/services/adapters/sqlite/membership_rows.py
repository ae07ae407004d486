"""The rows of memberships: how they are read, and how memberships begin."""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import orjson

from fanout.ids import new_membership_id
from fanout.ports.imports import NewMembership
from fanout.ports.memberships import Membership

COLUMNS: Final = "channel_id, user_id, membership_id, version, joined_at, left_at, untold"
SELECT: Final = f"SELECT {COLUMNS} FROM memberships"  # noqa: S608 - constants

OF_USERS: Final = f"""
    SELECT {", ".join(f"m.{name}" for name in COLUMNS.split(", "))} FROM json_each(?) AS asked
    JOIN memberships AS m ON m.channel_id = ? AND m.user_id = asked.value ORDER BY asked.key"""  # noqa: S608 - constants
"""The rows of some users and a channel, in the order of the users; `as_json` makes the parameter."""

_ADD: Final = """
    INSERT INTO memberships (channel_id, user_id, joined_at, membership_id, version, untold, told_at)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, :version, :untold, :told_at
    FROM json_each(:members) WHERE true
    ON CONFLICT DO UPDATE SET
        membership_id = excluded.membership_id,
        version = max(excluded.version, version + 1),
        joined_at = excluded.joined_at,
        left_at = NULL,
        untold = excluded.untold,
        told_at = excluded.told_at
    WHERE left_at IS NOT NULL"""


def add(connection: sqlite3.Connection, new: Sequence[NewMembership], now: int, *, published: bool) -> int:
    """Begin the memberships that there are not. The channels exist.

    Args:
        connection: in a transaction.
        new: the memberships.
        now: microseconds since 1970.
        published: write them as published.

    Returns:
        how many began.
    """
    (deleted,) = connection.execute("SELECT version FROM deleted").fetchone()
    values = {
        "members": as_json([(*each, new_membership_id()) for each in new]),
        "version": max(now, deleted + 1),
        "untold": not published,
        "told_at": now if published else None,
    }
    return connection.execute(_ADD, values).rowcount


def read(connection: sqlite3.Connection, query: str, *parameters: Any) -> list[Membership]:
    """The memberships that a query of `COLUMNS` finds."""
    return [
        Membership(channel_id, user_id, membership_id, version, joined_at, left_at, bool(untold))
        for channel_id, user_id, membership_id, version, joined_at, left_at, untold in connection.execute(
            query, parameters
        )
    ]


def as_json(values: Sequence[Any]) -> str:
    """Values as one parameter of a statement, however many they are."""
    return orjson.dumps(list(values)).decode()
