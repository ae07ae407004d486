"""The deployment: its id, and what it keeps of its streams. Part of the membership store; contract section 4."""

from typing import Protocol

from fanout.log_record import LogRecord


class Deployment(Protocol):
    """What makes processes, stores and streams belong together."""

    async def existing_id(self) -> str | None:
        """The deployment's id, or None where none was made yet."""
        ...

    async def make_id(self, wanted: str | None = None) -> str:
        """Make the deployment's id, unless there is one; the one that holds.

        Args:
            wanted: the id that the streams carry, where the store is to take it over; None for a new one.
        """
        ...

    async def log_record(self, stream: str) -> LogRecord | None:
        """What is kept of a stream, or None before the first word."""
        ...

    async def replace_log_record(self, stream: str, record: LogRecord) -> bool:
        """Keep the next record of a stream, where what is kept has the generation before: the first writer wins.

        Returns:
            whether it is kept now.
        """
        ...
