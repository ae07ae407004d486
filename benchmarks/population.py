"""Who is in which channel, on which instance: the same for every table and every run."""

from array import array
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from benchmarks import units
from benchmarks.drawing import channel_names, sample
from benchmarks.errors import NumberError

_SEED_OF_USERS: Final = 1 << 32
_SEED_OF_DRAWS: Final = (1 << 64) - 1 - _SEED_OF_USERS


class Population(msgspec.Struct, frozen=True):
    """A number of users, each on one instance, with as many channels each; by default the specification's size.

    Every channel is given to one user first, so that each has a member; the other memberships are drawn, with a skew
    by a power law of that exponent.
    """

    users: Annotated[int, Meta(ge=1, description="Users online.")] = 100_000
    channels: Annotated[int, Meta(ge=1, description="Channels, each with at least one member.")] = 5_000_000
    memberships: Annotated[int, Meta(ge=1, description="Memberships of all users together.")] = 30_000_000
    instances: Annotated[int, Meta(ge=1, description="Server instances over which the users are spread.")] = 100
    skew: Annotated[float, Meta(ge=0, description="0: channels are all alike; 1: a few have most members.")] = 0.0

    def check(self) -> None:
        """Refuse what cannot be drawn: a `NumberError` with the figures and the options that gave them."""
        if self.drawable() != self:
            raise NumberError(
                f"--memberships {self.memberships} must be from {self.channels}, since every channel has a member, to "
                f"{self._most_memberships}, since a user is in a channel once and memberships are drawn evenly"
            )

    def shape(self) -> str:
        """Its numbers, in words."""
        users, channels = units.counted(self.users, "user"), units.counted(self.channels, "channel")
        return f"{users}, {channels} and {units.counted(self.memberships, 'membership')}"

    def scaled(self, fraction: float) -> "Population":
        """The same number of channels for each user, at another size; it raises as `check`."""
        self.check()
        numbers = {name: max(1, round(getattr(self, name) * fraction)) for name in ("users", "channels", "memberships")}
        return msgspec.structs.replace(self, **numbers).drawable()

    def drawable(self) -> "Population":
        """The same with as many memberships as its channels need and its users can have."""
        memberships = max(self.channels, min(self.memberships, self._most_memberships))
        return msgspec.structs.replace(self, memberships=memberships)

    def numbers(self, user: int) -> "array[int]":
        """The channels of a user, by number."""
        dealt = array("I", range(user, self.channels, self.users))
        drawn = self.memberships - self.channels
        more = drawn * (user + 1) // self.users - drawn * user // self.users
        return sample(_SEED_OF_USERS + user, self.channels, len(dealt) + more, self.skew, dealt)

    def names(self, user: int) -> list[str]:
        """The channels of a user, by name: new strings each time, as a service gets them."""
        return channel_names(self.numbers(user))

    def some(self, count: int, draw: int) -> "array[int]":
        """Numbers of distinct channels, other ones for each `draw`."""
        return sample(_SEED_OF_DRAWS - draw, self.channels, min(count, self.channels), 0.0, array("I"))

    def some_names(self, count: int, draw: int) -> list[str]:
        """Names of distinct channels, as new strings."""
        return channel_names(self.some(count, draw))

    def place(self, user: int) -> tuple[str, str]:
        """The id of a user, and the instance on which the user is."""
        return user_name(user), instance_name(user, self.instances)

    @property
    def _most_memberships(self) -> int:
        """So many that the user who is dealt most can still be dealt an even share of the rest."""
        return self.channels + self.users * (self.channels + -self.channels // self.users)


def user_name(user: int) -> str:
    """The id of a user."""
    return f"user-{user:010d}"


def instance_name(user: int, instances: int) -> str:
    """The instance on which a user is."""
    return f"notif-{user % instances}"


SPEC: Final = Population()
"""The sizing of the platform's specification."""
