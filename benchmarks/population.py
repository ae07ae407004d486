"""Who is in which channel, on which instance: the same for every table and every run."""

from array import array
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from benchmarks import units
from benchmarks.drawing import channel_names, sample
from benchmarks.errors import NumbersError

_SEED_STRIDE: Final = 1 << 32
_SEED_OF_DRAWS: Final = (1 << 64) - 1
_MAX_CHANNELS: Final = (1 << 32) - 2


class Population(msgspec.Struct, frozen=True):
    """A number of users, each on one instance, with as many channels each; by default the specification's size.

    Every channel is given to one user first, so that each has a member; the other memberships are drawn.
    """

    users: Annotated[int, Meta(ge=1, description="Users online.")] = 100_000
    channels: Annotated[int, Meta(ge=1, description="Channels, each with at least one member.")] = 5_000_000
    memberships: Annotated[int, Meta(ge=1, description="Memberships of all users together.")] = 30_000_000
    instances: Annotated[int, Meta(ge=1, description="Server instances over which the users are spread.")] = 100
    skew: Annotated[float, Meta(ge=0, description="0: channels are all alike; 1: a few have most members.")] = 0.0
    """The exponent of a power law by which some channels are drawn more often than others."""
    seed: int = 1

    def check(self) -> None:
        """Refuse what cannot be drawn.

        Raises:
            NumbersError: it says why, with the figures and the options that gave them.
        """
        if self.channels > _MAX_CHANNELS:
            raise NumbersError(f"--channels must be at most {_MAX_CHANNELS}")
        if self.memberships < self.channels:
            raise NumbersError(
                "every channel has a member, so there must be at least as many memberships as channels: "
                f"--memberships {self.memberships} is less than --channels {self.channels}"
            )
        if self.memberships > self._most_memberships:
            raise NumbersError(
                f"a user is in a channel once, so for --users {self.users} and --channels {self.channels} at most "
                f"--memberships {self._most_memberships} can be drawn evenly: --memberships {self.memberships} are too "
                "many"
            )

    def shape(self) -> str:
        """Its numbers, in words."""
        return (
            f"{units.counted(self.users, 'user')}, {units.counted(self.channels, 'channel')} and "
            f"{units.counted(self.memberships, 'membership')}"
        )

    def scaled(self, fraction: float) -> "Population":
        """The same shape at another size.

        Each user keeps the same number of channels; where so many are no longer there, memberships are fewer.
        """
        users, channels, memberships = (
            max(1, round(count * fraction)) for count in (self.users, self.channels, self.memberships)
        )
        return msgspec.structs.replace(self, users=users, channels=channels, memberships=memberships).drawable()

    def drawable(self) -> "Population":
        """The same with as many memberships as its channels need and its users can have."""
        return msgspec.structs.replace(
            self, memberships=max(self.channels, min(self.memberships, self._most_memberships))
        )

    def numbers(self, user: int) -> "array[int]":
        """The channels of a user, by number."""
        dealt = array("I", range(user, self.channels, self.users))
        drawn = self.memberships - self.channels
        more = drawn * (user + 1) // self.users - drawn * user // self.users
        return sample(self.seed * _SEED_STRIDE + user, self.channels, len(dealt) + more, self.skew, dealt)

    def names(self, user: int) -> list[str]:
        """The channels of a user, by name: new strings each time, as a service gets them."""
        return channel_names(self.numbers(user))

    def some(self, count: int, draw: int, skew: float = 0.0) -> "array[int]":
        """Numbers of distinct channels, other ones for each `draw`."""
        return sample(_SEED_OF_DRAWS - self.seed * _SEED_STRIDE - draw, self.channels, count, skew, array("I"))

    def some_names(self, count: int, draw: int, skew: float = 0.0) -> list[str]:
        """Names of distinct channels, as new strings."""
        return channel_names(self.some(count, draw, skew))

    @property
    def _most_memberships(self) -> int:
        """So many that whoever is dealt most can still be dealt an even share of the rest."""
        dealt = -(-self.channels // self.users)
        return self.channels + self.users * (self.channels - dealt)


def user_name(user: int) -> str:
    """The id of a user."""
    return f"user-{user:010d}"


def instance_name(user: int, instances: int) -> str:
    """The instance on which a user is."""
    return f"notif-{user % instances}"


SPEC: Final = Population()
"""The sizing of the platform's specification."""
