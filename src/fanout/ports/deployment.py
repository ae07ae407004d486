"""The deployment: its id, and its records of the log's streams. The membership store keeps both; contract section 4."""

from typing import Protocol

from fanout.log_record import LogRecord


class Deployment(Protocol):
    """The id that all processes, stores and streams of one installation carry, so that another's are refused."""

    async def existing_id(self) -> str | None:
        """Return the deployment's id, or None if none was made yet."""
        ...

    async def make_id(self, wanted: str | None = None) -> str:
        """Make the deployment's id, unless there is one already.

        Args:
            wanted: the id to take, such as the one that existing streams carry; None for a new one.

        Returns:
            the id that is kept, which is the earlier one where there was one.
        """
        ...

    async def log_record(self, stream: str) -> LogRecord | None:
        """Return the record of a stream, or None if none was kept yet."""
        ...

    async def replace_log_record(self, stream: str, record: LogRecord) -> bool:
        """Replace the record of a stream, if the kept one has the generation before: the first writer wins.

        Returns:
            whether `record` is kept now.
        """
        ...
