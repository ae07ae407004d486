"""The base class of the stores in SQLite files."""

from pathlib import Path
from typing import ClassVar, Self

from services.adapters.sqlite.database import Database, Schema


class SqliteStore:
    """A store in one file, which several processes of one machine may have open. A subclass sets `schema`."""

    schema: ClassVar[Schema]

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, path: Path | None) -> Self:
        """Open the store, and create it if it is missing.

        Args:
            path: the file; its folder must exist. None is a store in memory, for tests.

        Raises:
            Unavailable: the file cannot be opened, or stays locked.
        """
        return cls(await Database.open(path, cls.schema))

    async def close(self) -> None:
        """Finish the queued work, and close the file."""
        await self._database.close()

    async def ping(self) -> None:
        """Return when the database answers."""
        await self._database.ping()
