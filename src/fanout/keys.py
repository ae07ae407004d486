"""The keys of Redis, contract section 5, and the text of its pub/sub notices."""

from typing import Final, NamedTuple

PRESENCE_CHANGES: Final = "presence:changes"

INSTANCES: Final = "instances"
"""A set of the instance ids that ever took a lease: stands in for `KEYS instance:*`, which must never be sent."""

CONNECTION_TTL_S: Final = 120
"""How long `conn:`, `conns:` and `presence:user:` outlive their last heartbeat."""

LEASE_TTL_S: Final = 10
"""How long `instance:` outlives its last renewal."""


class PresenceChange(NamedTuple):
    """One notice of the pub/sub channel: a user's first connection on an instance came, or the last one went."""

    user_id: str
    online: bool
    instance_id: str

    def encode(self) -> str:
        """The notice as published: `{user_id}:online:{instance_id}` or `{user_id}:offline:{instance_id}`."""
        return f"{self.user_id}:{'online' if self.online else 'offline'}:{self.instance_id}"

    @classmethod
    def decode(cls, text: str) -> "PresenceChange":
        """Read a notice.

        Raises:
            ValueError: it is not of that form.
        """
        user_id, state, instance_id = text.split(":")
        if state not in {"online", "offline"}:
            raise ValueError(f"unknown presence state {state!r}")
        return cls(user_id, state == "online", instance_id)


def connection(user_id: str, device_id: str) -> str:
    """The hash of one device's connection."""
    return f"conn:{user_id}:{device_id}"


def connections(user_id: str) -> str:
    """The set of a user's devices that have a connection."""
    return f"conns:{user_id}"


def user_presence(user_id: str) -> str:
    """The hash that says on which instances a user is."""
    return f"presence:user:{user_id}"


def lease(instance_id: str) -> str:
    """The hash of an instance's lease."""
    return f"instance:{instance_id}"
