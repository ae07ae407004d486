"""Who reads which channel, for the tier and for the clients alike."""

import random
from array import array
from functools import cached_property

import msgspec

from benchmarks.drawing import channel_names


class Audience(msgspec.Struct, frozen=True, dict=True):
    """Clients, each of another user, in channels of unequal size: from one reader to nearly twice the mean."""

    clients: int
    channels: int
    readers: float
    """Mean number of readers of a channel; at most half of the clients."""
    seed: int = 1

    @cached_property
    def names(self) -> list[str]:
        """The channels."""
        return channel_names(array("I", range(self.channels)))

    @cached_property
    def members(self) -> list[list[int]]:
        """The clients in each channel, by number."""
        choice = random.Random(self.seed)  # noqa: S311 - the same each time
        sizes = [round(choice.uniform(1, 2 * self.readers - 1)) for _ in range(self.channels)]
        return [choice.sample(range(self.clients), min(size, self.clients)) for size in sizes]

    def channels_of_clients(self) -> list[set[int]]:
        """The channels that each client is in, by number."""
        channels: list[set[int]] = [set() for _ in range(self.clients)]
        for channel, members in enumerate(self.members):
            for client in members:
                channels[client].add(channel)
        return channels
