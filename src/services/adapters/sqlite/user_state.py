"""The unread counts, drafts and changes of users in one SQLite file."""

from services.adapters.sqlite.changes import SqliteChanges
from services.adapters.sqlite.drafts import SqliteDrafts
from services.adapters.sqlite.unread import SqliteUnread


class SqliteUserState(SqliteUnread, SqliteDrafts, SqliteChanges):
    """Unread counts, drafts, and the record of changes."""
