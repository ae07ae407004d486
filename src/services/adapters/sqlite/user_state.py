"""The unread counts, drafts and changes of users in one SQLite file."""

from services.adapters.sqlite.changes import SqliteChanges
from services.adapters.sqlite.client_state import SqliteClientState
from services.adapters.sqlite.drafts import SqliteDrafts
from services.adapters.sqlite.unread import SqliteUnread


class SqliteUserState(SqliteUnread, SqliteDrafts, SqliteChanges, SqliteClientState):
    """Unread counts, drafts, the record of changes, and the channels used last."""
