"""The message store in Cassandra."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Self

from fanout import machine
from fanout.events import StoredMessage
from fanout.message_rows import FORMS, IN_CHANNELS, IN_THREADS, RowForm
from fanout.pages import cut
from fanout.ports.messages import IndexEntry, LogPlace, Page, Position
from services.adapters.cassandra import ownership, schema
from services.adapters.cassandra.bridge import MAX_IN_FLIGHT
from services.adapters.cassandra.connection import TIMEOUT_S, CassandraConnection, connect
from services.adapters.cassandra.hosts import Hosts
from services.adapters.cassandra.joined_reads import JoinedReads
from services.adapters.cassandra.reading import RowReading, Span
from services.adapters.cassandra.receipts import CassandraReceipts
from services.adapters.cassandra.statements import Statements
from services.adapters.cassandra.writing import MessageWriting

_KEY_BYTES: Final = 32


class _PageKey(NamedTuple):
    form: RowForm
    span: Span
    limit: int
    max_bytes: int | None


class CassandraMessages(CassandraReceipts):
    """`fanout.ports.messages.Messages` in a keyspace that any number of processes share, with the read receipts.

    Args:
        connection: is closed with the store.
        statements: of the keyspace.
        keyspace: its name.
    """

    def __init__(self, connection: CassandraConnection, statements: Statements, keyspace: str) -> None:
        super().__init__(connection, statements)
        self.reading: Final = {form: RowReading(connection, statements.rows[form]) for form in FORMS}
        self.keyspace: Final = keyspace
        self._writing = MessageWriting(connection, statements)
        self._pages = JoinedReads(self._page)
        self._counts = JoinedReads(self.reading[IN_THREADS].count)

    @classmethod
    async def open(
        cls, hosts: Hosts, *, prefix: str = "", timeout_s: float = TIMEOUT_S, max_in_flight: int = MAX_IN_FLIGHT
    ) -> Self:
        """Connect to a cluster, and create there what is missing.

        Args:
            hosts: the nodes that are asked first.
            prefix: of the keyspace; empty for none.
            timeout_s: seconds for each wait.
            max_in_flight: requests at a time.

        Raises:
            Unavailable: no node lets us in, or the cluster cannot create a table now.
        """
        connection = await connect(hosts, timeout_s=timeout_s, max_in_flight=max_in_flight)
        try:
            keyspace = schema.keyspace_of(prefix)
            await schema.create(connection, keyspace)
            return cls(connection, await Statements.prepare(connection, keyspace), keyspace)
        except BaseException:
            await connection.close()
            raise

    @staticmethod
    async def look(hosts: Hosts, *, prefix: str = "", deployment: str | None) -> tuple[str, list[str]]:
        """Check what `open` and `claim_for` check, and create nothing.

        Args:
            hosts: as of `open`.
            prefix: as of `open`.
            deployment: the id; None if there is none yet.

        Returns:
            what is there, and warnings, a line each.

        Raises:
            Unavailable, ForeignStore: as those.
        """
        connection = await connect(hosts)
        try:
            keyspace = schema.keyspace_of(prefix)
            if await schema.missing(connection, keyspace):
                later = "is created or completed at the first start, or by `fanout migrate`"
                return f"Cassandra; the keyspace {keyspace} {later}", []
            statements = await Statements.prepare(connection, keyspace)
            await ownership.check(connection, statements, keyspace, deployment)
            return f"Cassandra, keyspace {keyspace}", await schema.warnings(connection, keyspace)
        finally:
            await connection.close()

    async def claim_for(self, deployment: str, *, adopt: bool = False) -> None:
        """Write the deployment's id to the keyspace, or check the one that it carries.

        Args:
            deployment: the id.
            adopt: also write it to a keyspace that holds messages.

        Raises:
            ForeignStore: the keyspace carries another id; or it carries none, holds messages, and `adopt` is false.
            Unavailable: the cluster cannot do it now.
        """
        await ownership.claim(self.connection, self._statements, self.keyspace, deployment, adopt=adopt)

    async def write(self, messages: Sequence[StoredMessage], newest: LogPlace | None = None) -> None:
        """See the port. After `Unavailable`, some of `messages` may be stored, and `newest` is not."""
        if messages:
            await self._writing.write(messages)
        if newest is not None:
            place = (newest.seq, newest.stored_ns, newest.seq)
            await self.connection.execute("keeping the place in the log", self._statements.keep_place, *place)

    async def newest_place(self) -> LogPlace | None:
        """See the port."""
        rows = await self.connection.execute("reading the place in the log", self._statements.place)
        return LogPlace(*rows[0]) if rows else None

    async def position_of(self, channel_id: str, message_id: str) -> Position | None:
        """See the port."""
        rows = await self.connection.execute(
            "reading where a message is", self._statements.positions, message_id, channel_id
        )
        return Position(max(seq for (seq,) in rows), message_id) if rows else None

    async def index_entry(self, message_id: str) -> IndexEntry | None:
        """See the port."""
        rows = await self.connection.execute("reading where a message is", self._statements.entry, message_id)
        if not rows:
            return None
        channel_id, seq, thread_id, sender_id = rows[0]
        return IndexEntry(channel_id, Position(seq, message_id), thread_id, sender_id)

    async def history(
        self,
        channel_id: str,
        *,
        before: Position | None = None,
        after: Position | None = None,
        limit: int = 50,
        max_bytes: int | None = None,
    ) -> Page:
        """See the port. Identical reads are joined."""
        if limit <= 0:
            return Page([])
        span = Span.of(channel_id, before, after, upwards=after is not None)
        page = await self._pages.get(_PageKey(IN_CHANNELS, span, limit, max_bytes))
        return page._replace(messages=page.messages[::-1]) if span.upwards else page

    async def replies(
        self, thread_id: str, *, after: Position | None = None, limit: int = 50, max_bytes: int | None = None
    ) -> Page:
        """See the port. Identical reads are joined."""
        if limit <= 0:
            return Page([])
        span = Span.of(thread_id, None, after, upwards=True)
        return await self._pages.get(_PageKey(IN_THREADS, span, limit, max_bytes))

    async def reply_count(self, thread_id: str, *, after: int = -1, upto: int | None = None) -> int:
        """See the port. Identical reads are joined."""
        below = None if upto is None else Position(upto)
        return await self._counts.get(Span.of(thread_id, below, Position(after), upwards=True))

    async def cursor_key(self) -> bytes:
        """See the port."""
        made = machine.random_bytes(_KEY_BYTES).hex()
        return bytes.fromhex(
            await ownership.kept_value(self.connection, self._statements, self.keyspace, "cursor_key", made)
        )

    async def ping(self) -> None:
        """See the port."""
        await self.newest_place()

    async def close(self) -> None:
        """Close every connection."""
        await self.connection.close()

    async def _page(self, key: _PageKey) -> Page:
        """A page, in the order of reading."""
        # One row more than the page holds shows what follows it.
        rows = await self.reading[key.form].rows(key.span, key.limit + 1)
        return cut((key.form.message_of(key.span.owner, row) for row in rows), key.limit, key.max_bytes)
