"""Changes of users' presence on the bus: the payload of `presence.changed.{user_id}`. Contract section 4."""

import msgspec

from fanout.ids import check_id
from fanout.ports.presence import Status, UserPresence


class PresenceChanged(msgspec.Struct, frozen=True, omit_defaults=True):
    """A user's presence has changed. The message may come late, twice, or after a newer one.

    Attributes:
        user_id: whose.
        status: after the change.
        version: of two changes of a user, the one with the higher version is newer.
        last_active: when a device of the user was active last; None if it is not known.
        status_text: what the user says of themself.
        status_emoji: and the symbol beside it.
        only: the instance that is told again, because it may have missed the change; None where all are told.
    """

    user_id: str
    status: Status
    version: int
    last_active: str | None = None
    status_text: str = ""
    status_emoji: str = ""
    only: str | None = None

    def __post_init__(self) -> None:
        """Refuse ids that could reach a subject or a key."""
        check_id(self.user_id, "user_id")
        if self.only is not None:
            check_id(self.only, "instance_id")

    @classmethod
    def of(cls, presence: UserPresence, only: str | None = None) -> "PresenceChanged":
        """The message about a presence."""
        return cls(
            user_id=presence.user_id,
            status=presence.status,
            version=presence.version,
            last_active=presence.last_active,
            status_text=presence.status_text,
            status_emoji=presence.status_emoji,
            only=only,
        )

    @property
    def presence(self) -> UserPresence:
        """The presence after the change, without the number of devices."""
        return UserPresence(
            self.user_id, self.status, self.version, self.last_active, self.status_text, self.status_emoji
        )


_decoder = msgspec.json.Decoder(PresenceChanged)


def decode_presence_changed(payload: bytes) -> PresenceChanged:
    """Decode a change of a user's presence.

    Raises:
        msgspec.DecodeError: the payload is none.
    """
    try:
        return _decoder.decode(payload)
    except RecursionError as error:  # raised for JSON that is nested too deep; it is no error of msgspec's own
        raise msgspec.DecodeError(str(error)) from error
