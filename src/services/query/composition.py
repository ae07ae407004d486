"""Where the queries meet what they read."""

from fanout.api import Queries
from fanout.ports.log import Log
from fanout.ports.memberships import Memberships
from fanout.ports.messages import Messages
from fanout.ports.presence import Presence
from services.query.service import QueryService


def build_queries(log: Log, memberships: Memberships, messages: Messages, presence: Presence) -> Queries:
    """The queries over ready adapters."""
    return QueryService(log, memberships, messages, presence)
