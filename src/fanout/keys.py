"""The keys and the pub/sub channel of Redis. Contract section 5."""

import re
from dataclasses import dataclass
from typing import Final

PRESENCE_CHANGES: Final = "presence:changes"

INSTANCES: Final = "instances"
"""A set of the ids of all instances that took a lease: `KEYS instance:*` would walk the whole keyspace."""

DEPLOYMENT: Final = "deployment"
"""The id of the deployment that the store belongs to."""

CONNECTION_TTL_S: Final = 120
"""Seconds after which `conn:`, `conns:` and `presence:user:` expire without a heartbeat."""

LEASE_TTL_S: Final = 10
"""Seconds after which `instance:` expires without a renewal."""

GRACE_S: Final = 2.0
"""Seconds for which a device counts in its user's presence after a connection that was not closed by the client."""

UNTOLD_AFTER_S: Final = 2.0
"""Seconds after which a change of a user's presence that nobody has told is published again."""

CHANGES_KEPT_S: Final = 3_600
"""Seconds for which changes of presence are kept, for instances that may have missed them."""

ENDED_KEPT_S: Final = 30
"""Seconds for which the end of a connection is kept, so that a late renewal does not bring it back. It is longer than a
call may be under way."""

_PREFIX: Final = re.compile(r"[a-z0-9]{1,16}")


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys and pub/sub channels of one deployment. With the prefix `x` they begin with `x:`.

    Raises:
        ValueError: the prefix is neither empty nor of the form `[a-z0-9]{1,16}`.
    """

    prefix: str = ""

    def __post_init__(self) -> None:
        if self.prefix and not _PREFIX.fullmatch(self.prefix):
            raise ValueError("a prefix has 1 to 16 characters of a-z and 0-9")

    def named(self, name: str) -> str:
        """The key or channel with the deployment's prefix, given its name without one."""
        return f"{self.prefix}:{name}" if self.prefix else name

    @property
    def instances(self) -> str:
        """The set of the ids of instances that took a lease."""
        return self.named(INSTANCES)

    @property
    def deployment(self) -> str:
        """The string that holds the id of the deployment that the store belongs to."""
        return self.named(DEPLOYMENT)

    def connection(self, user_id: str, device_id: str) -> str:
        """The hash of one device's connection."""
        return self.named(f"conn:{user_id}:{device_id}")

    def connections(self, user_id: str) -> str:
        """The set of a user's connected devices."""
        return self.named(f"conns:{user_id}")

    def connection_ended(self, user_id: str, device_id: str) -> str:
        """The number of a device's connection that was ended last, for `ENDED_KEPT_S`."""
        return self.named(f"conn-ended:{user_id}:{device_id}")

    def user_presence(self, user_id: str) -> str:
        """The hash that says to which instances a user is connected."""
        return self.named(f"presence:user:{user_id}")

    def aggregate(self, user_id: str) -> str:
        """The hash of a user's presence, aggregated over the devices."""
        return self.named(f"presence:{user_id}")

    @property
    def presence_due(self) -> str:
        """The sorted set of users by the time, in milliseconds, when a record of theirs ends by itself."""
        return self.named("presence-due")

    @property
    def presence_untold(self) -> str:
        """The sorted set of users whose change is untold, by the time of the change or of the last try to tell it."""
        return self.named("presence-untold")

    @property
    def presence_recent(self) -> str:
        """The sorted set of users whose presence changed within `CHANGES_KEPT_S`, by the time of the last change."""
        return self.named("presence-recent")

    @property
    def presence_holders(self) -> str:
        """The set of the incarnations of instances that hold connections, as `{instance_id}:{incarnation}`."""
        return self.named("presence-holders")

    def presence_users(self, instance_id: str, incarnation: str) -> str:
        """The set of the users who have connections on an incarnation of an instance."""
        return self.named(f"presence-users:{instance_id}:{incarnation}")

    def lease(self, instance_id: str) -> str:
        """The hash of an instance's lease."""
        return self.named(f"instance:{instance_id}")

    @property
    def unread_place(self) -> str:
        """The hash of the position in the log up to which messages are counted."""
        return self.named("unread-place")

    def read_pointer(self, user_id: str, channel_id: str) -> str:
        """The hash of a user's read pointer in a channel."""
        return self.named(f"read-pointer:{user_id}:{channel_id}")

    def mentions(self, user_id: str, channel_id: str) -> str:
        """The sorted set of a user's unread mentions in a channel."""
        return self.named(f"mentions:{user_id}:{channel_id}")

    def channel_latest(self, channel_id: str) -> str:
        """The hash of the newest message of a channel, and the number of its messages."""
        return self.named(f"channel-latest:{channel_id}")

    def changed(self, user_id: str) -> str:
        """The sorted set of a user's channels in which something changed, by the time of the last change."""
        return self.named(f"changed:{user_id}")

    def draft(self, user_id: str, channel_id: str) -> str:
        """The hash of a user's draft in a channel."""
        return self.named(f"draft:{user_id}:{channel_id}")

    def client_state(self, user_id: str) -> str:
        """The hash of the channels that a user is most active in."""
        return self.named(f"client-state:{user_id}")
