"""The point of the log up to which a client has everything. Contract section 3."""

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from fanout.client.errors import InvalidResumePoint

Seq: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""A position in the log."""


class ResumePoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a client resumes: nothing up to there is missing, and nothing of it comes again.

    Attributes:
        seq: every event up to here was received.
        parts: by partition, the highest position received where that is above `seq`.
        log: the identity of the log that the positions are of; None if the server gave none.
        ahead: by channel, the highest position received above the point, in a catch-up that was not complete. The
            client drops what comes again up to there; the server is not told.
    """

    seq: Seq
    parts: dict[Annotated[int, Meta(ge=0)], Seq] = {}
    log: str | None = None
    ahead: dict[str, Seq] = {}

    def encode(self) -> bytes:
        """The point as JSON, to keep until the program starts again."""
        return msgspec.json.encode(self)

    @staticmethod
    def decode(encoded: bytes) -> "ResumePoint":
        """The point that `encode` has encoded.

        Raises:
            InvalidResumePoint: it was not encoded by `encode`.
        """
        try:
            return _decoder.decode(encoded)
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidResumePoint(f"this is no resume point: {error}") from error


_decoder = msgspec.json.Decoder(ResumePoint)
