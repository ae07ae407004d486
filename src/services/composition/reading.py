"""Parts that several services use to know what was read, put together."""

from fanout.ports.log import Log
from fanout.ports.memberships import Memberships
from fanout.ports.messages import Messages
from fanout.ports.unread import UnreadCounts
from services.command.read_marker import ReadMarker
from services.query.cursors import Cursors
from services.query.unread import UnreadQueries
from services.runtime.accepted_messages import AcceptedMessages
from services.runtime.channel_messages import ChannelMessages
from services.runtime.positions import Positions
from services.runtime.read_positions import ReadPositions


def read_positions(events: Log, messages: Messages) -> ReadPositions:
    """Make the part that computes the counts at a position of a channel.

    Args:
        events: the log.
        messages: the message store.
    """
    return ReadPositions(ChannelMessages(messages, events, _positions(events, messages)))


def unread_queries(events: Log, memberships: Memberships, messages: Messages, counts: UnreadCounts) -> UnreadQueries:
    """Make the part that handles the calls about unread messages.

    Args:
        events: the log.
        memberships: the membership store.
        messages: the message store.
        counts: the unread store.
    """
    channel_messages = ChannelMessages(messages, events, _positions(events, messages))
    return UnreadQueries(events, memberships, counts, channel_messages, Cursors(messages))


def read_marker(events: Log, memberships: Memberships, messages: Messages, counts: UnreadCounts) -> ReadMarker:
    """Make the part that marks messages as read.

    Args:
        events: the log.
        memberships: the membership store.
        messages: the message store.
        counts: the unread store.
    """
    positions = _positions(events, messages)
    return ReadMarker(memberships, counts, positions, ChannelMessages(messages, events, positions))


def _positions(events: Log, messages: Messages) -> Positions:
    return Positions(events, AcceptedMessages(messages, events))
