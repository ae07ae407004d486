"""The deployment's id and its records of the log, in the database of the membership store."""

from typing import Final

from pymongo.errors import DuplicateKeyError

from fanout.ids import new_ulid
from fanout.log_record import LogRecord, decode_record, encode_record
from services.adapters.mongo.client import Database, Document, reading, writing
from services.adapters.mongo.schema import DEPLOYMENT

_ID: Final = "id"


class MongoDeployment:
    """`fanout.ports.deployment.Deployment`. The caller that made the client closes it."""

    def __init__(self, database: Database) -> None:
        self._documents = database[DEPLOYMENT]

    async def existing_id(self) -> str | None:
        """See the port."""
        with reading("the deployment's id"):
            kept = await self._documents.find_one({"_id": _ID})
        return None if kept is None else str(kept["deployment"])

    async def make_id(self, wanted: str | None = None) -> str:
        """See the port."""
        existing = await self.existing_id()
        if existing is not None:
            return existing
        await self._insert({"_id": _ID, "deployment": wanted or f"dep_{new_ulid()}"}, "making the deployment's id")
        return str(await self.existing_id())

    async def log_record(self, stream: str) -> LogRecord | None:
        """See the port."""
        with reading("the record of the log"):
            kept = await self._documents.find_one({"_id": _key(stream)})
        return None if kept is None else decode_record(kept["record"])

    async def replace_log_record(self, stream: str, record: LogRecord) -> bool:
        """See the port."""
        key, what = _key(stream), "keeping the record of the log"
        fields = {"generation": record.generation, "record": encode_record(record)}
        with writing(what):
            replaced = await self._documents.update_one(
                {"_id": key, "generation": record.generation - 1}, {"$set": fields}
            )
        return bool(replaced.matched_count) or await self._insert({"_id": key, **fields}, what)

    async def _insert(self, document: Document, what: str) -> bool:
        """Insert a document, and return whether there was none of its id."""
        with writing(what):
            try:
                await self._documents.insert_one(document)
            except DuplicateKeyError:
                return False
        return True


def _key(stream: str) -> str:
    return f"log:{stream}"
