"""What the stores in SQLite share: a file that several processes of one machine may have open."""

from pathlib import Path
from typing import ClassVar, Self

from services.adapters.sqlite.database import Database, Schema


class Store:
    """A store in one database. A subclass names its `schema`."""

    schema: ClassVar[Schema]

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, path: Path | None) -> Self:
        """Open or create the store.

        Args:
            path: the file; its folder must exist. None is a store in memory, for tests.

        Raises:
            Unavailable: the file cannot be opened, or stays locked.
        """
        return cls(await Database.open(path, cls.schema))

    async def close(self) -> None:
        """Finish what was begun, and close the file."""
        await self._database.close()

    async def ping(self) -> None:
        """Return when the database answers."""
        await self._database.ping()
