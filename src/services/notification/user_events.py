"""Events for one user: what one device has changed is told to the user's other devices here."""

from collections import OrderedDict
from typing import Final

from fanout import InvalidEvent, text_frame
from fanout.events import encode
from fanout.user_sync import UserNotice, decode_user_notice
from services.notification.registry import Registry
from services.runtime.skipping import skip

VERSIONS_KEPT: Final = 65_536
"""Channels of users whose newest version is known here: some 20 MiB at most."""

_Key = tuple[type[UserNotice], str, str]


class UserEvents:
    """Writes notices to the sockets of a user, except to that of the device that made the change.

    Notices of two instances may come in any order, and a notice may come twice. One that is not newer than what was
    written last for the same channel is dropped, so that nothing goes back at a client.

    Args:
        registry: has the sessions.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._versions: OrderedDict[_Key, int] = OrderedDict()

    def hear(self, user_id: str, payload: bytes) -> None:
        """Handle a notice that a fan-out worker has routed here."""
        try:
            notice = decode_user_notice(payload, user_id)
        except InvalidEvent as error:
            skip("user_sync", error)
            return
        self.tell(notice)

    def tell(self, notice: UserNotice) -> None:
        """Write a notice to the user's sockets, unless it is not newer than what they have."""
        sessions = self._registry.sessions_of(notice.user_id)
        if not sessions or not self._is_news(notice):
            return
        frame = text_frame(encode(notice.frame()))
        for session in sessions:
            if session.device_id != notice.source_device:
                self._registry.write_queue.queue(session, frame)

    def _is_news(self, notice: UserNotice) -> bool:
        key = type(notice), notice.user_id, notice.channel_id
        if notice.version <= self._versions.get(key, 0):
            return False
        self._versions[key] = notice.version
        self._versions.move_to_end(key)
        if len(self._versions) > VERSIONS_KEPT:
            self._versions.popitem(last=False)
        return True
