"""The devices of users in SQLite, in the file of the membership store."""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from fanout.errors import DeviceRemoved, DeviceTaken
from fanout.ports.devices import (
    LIMITS,
    REMOVED_KEPT,
    Activity,
    Connected,
    Device,
    Login,
    Lost,
    Profile,
    Registered,
    just_after,
)
from services.adapters.sqlite.store import SqliteStore

STATEMENTS: Final = (
    """CREATE TABLE devices (
        device_id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        platform TEXT NOT NULL,
        app_version TEXT,
        os_version TEXT,
        device_name TEXT,
        push_token TEXT,
        push_enabled INTEGER NOT NULL,
        capabilities TEXT NOT NULL,
        created_at TEXT NOT NULL,
        last_active_at TEXT NOT NULL,
        last_ip TEXT,
        current_session_id TEXT,
        notification_service_instance TEXT,
        removed_at TEXT
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX devices_by_user ON devices (user_id, device_id)",
    "CREATE UNIQUE INDEX devices_by_push_token ON devices (push_token) WHERE push_token IS NOT NULL",
)
"""The table, a part of the membership store's schema. `removed_at`: set while a removed device is remembered."""

_COLUMNS: Final = (
    "device_id, user_id, app_version, os_version, device_name, push_token, push_enabled, capabilities, "
    "created_at, last_active_at, last_ip, current_session_id, notification_service_instance"
)
_SELECT: Final = f"SELECT {_COLUMNS} FROM devices"  # noqa: S608 - constants
_OF_PLATFORM: Final = f"""{_SELECT}
    WHERE user_id = ? AND platform = ? AND removed_at IS NULL AND device_id <> ? ORDER BY last_active_at, device_id"""
_WRITE: Final = f"""
    INSERT OR REPLACE INTO devices (platform, {_COLUMNS}) VALUES (?{", ?" * 13})"""  # noqa: S608 - constants
_HEARD: Final = """
    UPDATE devices SET last_active_at = :at,
        notification_service_instance = iif(:ended, NULL, notification_service_instance)
    WHERE device_id = :device AND current_session_id = :session AND removed_at IS NULL"""
_REMOVE: Final = "UPDATE devices SET removed_at = ?, push_token = NULL WHERE device_id = ? AND removed_at IS NULL"
_FORGET: Final = """
    DELETE FROM devices WHERE device_id IN (
        SELECT device_id FROM devices WHERE user_id = ? AND removed_at IS NOT NULL
        ORDER BY removed_at DESC, device_id LIMIT -1 OFFSET ?)"""


class SqliteDevices(SqliteStore):
    """`fanout.ports.devices.Devices`, as a part of the membership store. Each call is one transaction."""

    async def connect_device(self, login: Login) -> Connected:
        """See the port."""
        return await self._database.write(lambda connection: _connect(connection, login))

    async def register_device(self, user_id: str, device_id: str, profile: Profile, at: str) -> Registered:
        """See the port."""

        def work(connection: sqlite3.Connection) -> Registered:
            before, is_removed = _found(connection, device_id, user_id)
            new = Device(user_id=user_id, device_id=device_id, profile=profile, created_at=at, last_active_at=at)
            known = before is not None and not is_removed
            device = replace(before, profile=profile) if before and known else new
            connection.execute("UPDATE devices SET push_token = NULL WHERE push_token = ?", (profile.push_token,))
            if known:
                _write(connection, device)
                return Registered(device)
            return Registered(*_write_newest(connection, device, at))

        return await self._database.write(work)

    async def devices_of(self, user_id: str) -> list[Device]:
        """See the port."""
        query = f"{_SELECT} WHERE user_id = ? AND removed_at IS NULL ORDER BY device_id"
        return await self._database.read(
            lambda connection: [_device(row) for row in connection.execute(query, (user_id,))]
        )

    async def remove_device(self, user_id: str, device_id: str, at: str) -> Device | None:
        """See the port."""

        def work(connection: sqlite3.Connection) -> Device | None:
            row = connection.execute(f"{_SELECT} WHERE device_id = ? AND user_id = ?", (device_id, user_id)).fetchone()
            if row is None:
                return None
            _remove(connection, device_id, user_id, at)
            return _device(row)

        return await self._database.write(work)

    async def record_activity(self, activities: Sequence[Activity]) -> list[Lost]:
        """See the port."""

        def work(connection: sqlite3.Connection) -> list[Lost]:
            lost = [each for each in activities if not _was_recorded(connection, each)]
            return [
                Lost(each.session_id, removed=_is_removed(connection, each.device_id))
                for each in lost
                if not each.ended
            ]

        return await self._database.write(work)


def _connect(connection: sqlite3.Connection, login: Login) -> Connected:
    before, is_removed = _found(connection, login.device_id, login.user_id)
    if is_removed:
        raise DeviceRemoved(f"{login.device_id} was removed")
    new = Device(
        user_id=login.user_id,
        device_id=login.device_id,
        profile=Profile(),
        created_at=login.at,
        last_active_at=login.at,
    )
    device = replace(
        before or new,
        last_active_at=login.at,
        last_ip=login.ip,
        session_id=login.session_id,
        instance_id=login.instance_id,
    )
    if before is not None:
        _write(connection, device)
        return Connected(before)
    return Connected(None, _write_newest(connection, device, login.at)[1])


def _found(connection: sqlite3.Connection, device_id: str, user_id: str) -> tuple[Device | None, bool]:
    """The device, and whether it is removed.

    Raises:
        DeviceTaken: it is another user's.
    """
    row = connection.execute(
        f"SELECT removed_at IS NOT NULL, {_COLUMNS} FROM devices WHERE device_id = ?",  # noqa: S608 - constants
        (device_id,),
    ).fetchone()
    if row is None:
        return None, False
    device, is_removed = _device(row[1:]), bool(row[0])
    if device.user_id != user_id and not is_removed:
        raise DeviceTaken(f"{device_id} is another user's")
    return device, is_removed


def _write_newest(connection: sqlite3.Connection, device: Device, at: str) -> tuple[Device, tuple[Device, ...]]:
    """Write a device as the one that was active last, and remove those above the limit of its platform."""
    query = (device.user_id, device.platform, device.device_id)
    others = tuple(_device(row) for row in connection.execute(_OF_PLATFORM, query))
    surplus = others[: max(0, len(others) + 1 - LIMITS[device.platform])]
    for each in surplus:
        _remove(connection, each.device_id, each.user_id, at)
    if others and others[-1].last_active_at >= device.last_active_at:  # by another clock
        device = replace(device, last_active_at=just_after(others[-1].last_active_at))
    _write(connection, device)
    return device, surplus


def _write(connection: sqlite3.Connection, device: Device) -> None:
    profile = device.profile
    values = (
        device.platform,
        device.device_id,
        device.user_id,
        profile.app_version,
        profile.os_version,
        profile.device_name,
        profile.push_token,
        profile.push_enabled,
        orjson.dumps(dict(profile.capabilities)).decode(),
        device.created_at,
        device.last_active_at,
        device.last_ip,
        device.session_id,
        device.instance_id,
    )
    connection.execute(_WRITE, values)


def _remove(connection: sqlite3.Connection, device_id: str, user_id: str, at: str) -> None:
    connection.execute(_REMOVE, (at, device_id))
    connection.execute(_FORGET, (user_id, REMOVED_KEPT))


def _was_recorded(connection: sqlite3.Connection, activity: Activity) -> bool:
    values = {
        "device": activity.device_id,
        "session": activity.session_id,
        "at": activity.at,
        "ended": activity.ended,
    }
    return connection.execute(_HEARD, values).rowcount == 1


def _is_removed(connection: sqlite3.Connection, device_id: str) -> bool:
    """Whether a device is removed, or so long ago that it is forgotten."""
    query = "SELECT removed_at IS NOT NULL FROM devices WHERE device_id = ?"
    row = connection.execute(query, (device_id,)).fetchone()
    return row is None or bool(row[0])


def _device(row: Sequence[Any]) -> Device:
    device_id, user_id, app_version, os_version, device_name, push_token, push_enabled, capabilities, *rest = row
    created_at, last_active_at, last_ip, session_id, instance_id = rest
    return Device(
        device_id=device_id,
        user_id=user_id,
        profile=Profile(
            app_version=app_version,
            os_version=os_version,
            device_name=device_name,
            push_token=push_token,
            push_enabled=bool(push_enabled),
            capabilities=orjson.loads(capabilities),
        ),
        created_at=created_at,
        last_active_at=last_active_at,
        last_ip=last_ip,
        session_id=session_id,
        instance_id=instance_id,
    )
