"""A deployment that ends with its process: for tests and benchmarks."""

from fanout.ids import new_ulid
from fanout.log_record import LogRecord
from services.adapters.embedded.suspension import suspending


@suspending
class EmbeddedDeployment:
    """`fanout.ports.deployment.Deployment` in memory.

    Args:
        deployment_id: the id that processes share which have one of their own each; None until one is made.
    """

    def __init__(self, deployment_id: str | None = None) -> None:
        self._id = deployment_id
        self._records: dict[str, LogRecord] = {}

    async def existing_id(self) -> str | None:
        """See the port."""
        return self._id

    async def make_id(self, wanted: str | None = None) -> str:
        """See the port."""
        self._id = self._id or wanted or f"dep_{new_ulid()}"
        return self._id

    async def log_record(self, stream: str) -> LogRecord | None:
        """See the port."""
        return self._records.get(stream)

    async def replace_log_record(self, stream: str, record: LogRecord) -> bool:
        """See the port."""
        kept = self._records.get(stream)
        if kept is not None and kept.generation != record.generation - 1:
            return False
        self._records[stream] = record
        return True
