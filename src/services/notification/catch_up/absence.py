"""The absence of a client, as it says: the point from which it resumes, and when it was last connected."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from fanout.ports.log import Numbering

Position = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""A `seq` as a client says it. One that is too high for a log is a point from the future, and no error."""


class ResumePoint(msgspec.Struct, frozen=True):
    """A place in the log: in each partition, the client has every message up to a seq."""

    seq: Position
    """For partitions that `parts` does not name, and those of which it has a lower one."""
    parts: dict[Annotated[int, Meta(ge=0, le=2**31 - 1)], Position] = {}
    log: str | None = None
    """The identity of the log from which the client has the point; None if it does not say."""

    def of(self, part: int) -> int:
        """Up to which seq the client has every message of a partition."""
        return max(self.seq, self.parts.get(part, 0))

    def lowest(self, partitions: int) -> int:
        """Up to which seq the client has every message, in a log with so many partitions."""
        return min(map(self.of, range(partitions)), default=self.seq)

    def is_in(self, numbering: Numbering, *, partitions: int, end: int) -> bool:
        """Whether it is a point of a log, which has so many partitions and ends there."""
        if self.log not in {None, numbering.identity} or any(part >= partitions for part in self.parts):
            return False
        if self.log is None and self.seq < numbering.begins and numbering.begins:
            return False  # the events that it counts may be others now
        return max(self.seq, *self.parts.values(), 0) <= end


class Absence(msgspec.Struct, frozen=True):
    """The fields of `auth` in which a client says that it was away."""

    point: ResumePoint | None
    last_seen: datetime | None
    """By the client's own clock."""
    recorded_at: float | None = None
    """When the device was active last by the server's own record, in seconds since 1970; None if there is none."""
