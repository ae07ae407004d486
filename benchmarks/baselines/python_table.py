"""The routing table in plain Python: dicts of sets, as one would write it without a core."""

from collections import defaultdict
from collections.abc import Iterable


class PythonTable:
    """Channel -> instance -> users, and user -> channels."""

    def __init__(self) -> None:
        self._placements: defaultdict[str, dict[str, set[str]]] = defaultdict(dict)
        self._channels: dict[str, list[str]] = {}

    def user_online(self, user: str, instance: str, channels: Iterable[str]) -> None:
        """Place a user."""
        mine = self._channels[user] = list(channels)
        for channel in mine:
            instances = self._placements[channel]
            users = instances.get(instance)
            if users is None:
                instances[instance] = {user}
            else:
                users.add(user)

    def user_offline(self, user: str, instance: str) -> None:
        """Take a user off an instance."""
        for channel in self._channels.pop(user):
            instances = self._placements[channel]
            users = instances[instance]
            users.discard(user)
            if not users:
                del instances[instance]
                if not instances:
                    del self._placements[channel]

    def instances(self, channel: str) -> frozenset[str]:
        """Where the channel's readers are."""
        return frozenset(self._placements.get(channel, ()))
