"""The devices of users in MongoDB, in the database of the membership store.

A document is the specification's. Beside its fields it has `push_token_at`, when the token was registered, and
`removed_at` while it stands for a device that was removed. Fields without a value are left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from fanout.errors import DeviceRemoved, DeviceTaken, OutcomeUnknown
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
    platform_of,
)
from services.adapters.mongo.client import Database, Document, begun, reading, writing
from services.adapters.mongo.newest import Among, keep_newest
from services.adapters.mongo.schema import DEVICES

_REGISTERED: Final = {"removed_at": {"$exists": False}}
_REMOVED: Final = {"removed_at": {"$exists": True}}
_ATTEMPTS: Final = 10
"""Each fails only because the device was registered or removed at the same time."""
_PROFILE: Final = ("app_version", "os_version", "device_name", "push_token", "push_enabled", "capabilities")


class MongoDevices:
    """`fanout.ports.devices.Devices`, as a part of the membership store.

    Args:
        database: with the collection.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def connect_device(self, login: Login) -> Connected:
        """See the port. One command for a device that is known."""
        for _ in range(_ATTEMPTS):
            before = await self._log_in(login)
            if before is not None:
                return Connected(_device(before))
            first = {**_document(login.user_id, login.device_id, Profile(), login.at), **_session(login)}
            if await self._insert(first):
                return Connected(None, await self._keep_newest(login.user_id, login.device_id, login.at))
            found = await self._find(login.device_id)
            if found is not None and "removed_at" in found:
                raise DeviceRemoved(f"{login.device_id} was removed")
            _check_owner(found, login.user_id)
        raise OutcomeUnknown("the device is registered and removed all the time")

    async def register_device(self, user_id: str, device_id: str, profile: Profile, at: str) -> Registered:
        """See the port."""
        for _ in range(_ATTEMPTS):
            found = await self._find(device_id)
            if found is None or "removed_at" in found:
                written = await self._write_new(found, _document(user_id, device_id, profile, at))
            else:
                _check_owner(found, user_id)
                written = await self._write_profile(user_id, device_id, profile, at)
            if written is not None:
                with begun("registering a device"):
                    await self._take_token(device_id, profile.push_token)
                    gone = await self._keep_newest(user_id, device_id, at)
                return Registered(_device(written), gone)
        raise OutcomeUnknown("the device is registered and removed all the time")

    async def devices_of(self, user_id: str) -> list[Device]:
        """See the port."""
        with reading("devices"):
            found = await self._database[DEVICES].find({"user_id": user_id, **_REGISTERED}).to_list()
        return sorted(map(_device, found), key=lambda device: device.device_id)

    async def remove_device(self, user_id: str, device_id: str, at: str) -> Device | None:
        """See the port."""
        query = {"_id": device_id, "user_id": user_id}
        with writing("removing a device"):
            before = await self._database[DEVICES].find_one_and_update({**query, **_REGISTERED}, _removal(at))
        if before is not None:
            await self._forget_oldest(user_id)
            return _device(before)
        found = await self._find(device_id)
        return None if found is None or found["user_id"] != user_id else _device(found)

    async def record_activity(self, activities: Sequence[Activity]) -> list[Lost]:
        """See the port. One command, and another one if a connection was lost."""
        if not activities:
            return []
        with writing("the activity of devices"):
            result = await self._database[DEVICES].bulk_write([_heard(each) for each in activities], ordered=False)
        if result.matched_count == len(activities):
            return []
        query = {"_id": {"$in": [each.device_id for each in activities]}}
        with reading("devices"):
            found = await self._database[DEVICES].find(query, {"current_session_id": 1, "removed_at": 1}).to_list()
        return _lost(activities, {document["_id"]: document for document in found})

    async def _log_in(self, login: Login) -> Document | None:
        """Write a login to the document of a registered device, and return the document as it was."""
        query = {"_id": login.device_id, "user_id": login.user_id, **_REGISTERED}
        update = {"$set": {"last_active_at": login.at, **_session(login)}}
        with writing("a login"):
            return await self._database[DEVICES].find_one_and_update(query, update)

    async def _find(self, device_id: str) -> Document | None:
        with reading("a device"):
            return await self._database[DEVICES].find_one({"_id": device_id})

    async def _insert(self, document: Document) -> bool:
        with writing("a new device"):
            try:
                await self._database[DEVICES].insert_one(document)
            except DuplicateKeyError:
                return False
        return True

    async def _write_new(self, removed: Document | None, document: Document) -> Document | None:
        """Write the document of a new device, also in the place of a removed one; None if another call was faster."""
        if removed is None:
            return document if await self._insert(document) else None
        query = {"_id": removed["_id"], "removed_at": removed["removed_at"]}
        with writing("a new device"):
            result = await self._database[DEVICES].replace_one(query, document)
        return document if result.matched_count else None

    async def _write_profile(self, user_id: str, device_id: str, profile: Profile, at: str) -> Document | None:
        fields = _profile(profile, at)
        missing = {name: "" for name in (*_PROFILE, "push_token_at") if name not in fields}
        update = {"$set": fields, **({"$unset": missing} if missing else {})}
        query = {"_id": device_id, "user_id": user_id, **_REGISTERED}
        with writing("a device"):
            before = await self._database[DEVICES].find_one_and_update(query, update)
        if before is None:
            return None
        return {name: value for name, value in before.items() if name not in missing} | fields

    async def _take_token(self, device_id: str, token: str | None) -> None:
        """Take a push token from the devices that had it before."""
        if token is not None:
            drop = {"$unset": {"push_token": "", "push_token_at": ""}}
            await keep_newest(
                self._database[DEVICES], device_id, Among({"push_token": token}, "push_token_at", keep=1, drop=drop)
            )

    async def _keep_newest(self, user_id: str, device_id: str, at: str) -> tuple[Device, ...]:
        """Remove the devices that are above the limit of a platform, after one was written."""
        platform = platform_of(device_id)
        among = Among(
            {"user_id": user_id, "platform": platform, **_REGISTERED}, "last_active_at", LIMITS[platform], _removal(at)
        )
        with begun("registering a device"):
            gone = await keep_newest(self._database[DEVICES], device_id, among)
            if gone:
                await self._forget_oldest(user_id)
        return tuple(map(_device, gone))

    async def _forget_oldest(self, user_id: str) -> None:
        """Delete the documents of removed devices that are too many."""
        query = {"user_id": user_id, **_REMOVED}
        with reading("removed devices"):
            found = await self._database[DEVICES].find(query, {"removed_at": 1}).to_list()
        found.sort(key=lambda each: (each["removed_at"], each["_id"]), reverse=True)
        for each in found[REMOVED_KEPT:]:
            with writing("forgetting a removed device"):
                await self._database[DEVICES].delete_one({"_id": each["_id"], "removed_at": each["removed_at"]})


def _check_owner(found: Document | None, user_id: str) -> None:
    if found is not None and found["user_id"] != user_id:
        raise DeviceTaken(f"{found['_id']} is another user's")


def _removal(at: str) -> Document:
    return {"$set": {"removed_at": at}, "$unset": {"push_token": "", "push_token_at": ""}}


def _heard(activity: Activity) -> UpdateOne:
    query = {"_id": activity.device_id, "current_session_id": activity.session_id, **_REGISTERED}
    ended = {"$unset": {"notification_service_instance": ""}} if activity.ended else {}
    return UpdateOne(query, {"$set": {"last_active_at": activity.at}, **ended})


def _lost(activities: Sequence[Activity], documents: Mapping[str, Document]) -> list[Lost]:
    """The connections that are not their device's. A removed device that is forgotten has no document."""
    lost = []
    for each in activities:
        document = documents.get(each.device_id, {})
        removed = not document or "removed_at" in document
        if not each.ended and (removed or document.get("current_session_id") != each.session_id):
            lost.append(Lost(each.session_id, removed))
    return lost


def _document(user_id: str, device_id: str, profile: Profile, at: str) -> Document:
    return {
        "_id": device_id,
        "user_id": user_id,
        "platform": platform_of(device_id),
        **_profile(profile, at),
        "created_at": at,
        "last_active_at": at,
    }


def _profile(profile: Profile, at: str) -> Document:
    fields: dict[str, Any] = {name: getattr(profile, name) for name in _PROFILE}
    fields["capabilities"] = dict(profile.capabilities)
    if profile.push_token is not None:
        fields["push_token_at"] = at
    return {name: value for name, value in fields.items() if value is not None}


def _session(login: Login) -> Document:
    fields = {
        "current_session_id": login.session_id,
        "notification_service_instance": login.instance_id,
        "last_ip": login.ip,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _device(document: Document) -> Device:
    return Device(
        device_id=document["_id"],
        user_id=document["user_id"],
        profile=Profile(**{name: document[name] for name in _PROFILE if name in document}),
        created_at=document["created_at"],
        last_active_at=document["last_active_at"],
        last_ip=document.get("last_ip"),
        session_id=document.get("current_session_id"),
        instance_id=document.get("notification_service_instance"),
    )
