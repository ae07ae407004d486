"""Parts that several services use to know what was read, put together."""

from fanout.ports.bus import Bus
from fanout.ports.drafts import Drafts
from fanout.ports.log import Log
from fanout.ports.memberships import Memberships
from fanout.ports.messages import Messages
from fanout.ports.receipts import Receipts
from fanout.ports.unread import UnreadCounts
from services.command.client_commands import CommandHandlers
from services.command.drafts import DraftCommands
from services.command.read_marker import ReadMarker
from services.command.read_receipts import ReadReceipts
from services.query.cursors import Cursors
from services.query.receipts import ReceiptQueries
from services.query.unread import UnreadQueries
from services.runtime.accepted_messages import AcceptedMessages
from services.runtime.active_channels import ActiveChannels
from services.runtime.channel_messages import ChannelMessages
from services.runtime.membership_cache import MembershipCache
from services.runtime.positions import Positions
from services.runtime.read_positions import ReadPositions
from services.runtime.user_sync import UserSync


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


def receipt_queries(
    events: Log, memberships: Memberships, cache: MembershipCache, messages: Messages, receipts: Receipts
) -> ReceiptQueries:
    """Make the part that handles the calls about read receipts.

    Args:
        events: the log.
        memberships: the membership store.
        cache: of membership checks.
        messages: the message store.
        receipts: the receipt store.
    """
    return ReceiptQueries(memberships, cache, _positions(events, messages), receipts)


def client_commands(
    events: Log,
    bus: Bus,
    memberships: Memberships,
    cache: MembershipCache,
    messages: Messages,
    counts: UnreadCounts,
    drafts: Drafts,
    active_channels: ActiveChannels,
) -> CommandHandlers:
    """Make the part that handles the commands of WebSocket clients.

    Args:
        events: the log.
        bus: tells the other devices of a user.
        memberships: the membership store.
        cache: of membership checks.
        messages: the message store.
        counts: the unread store.
        drafts: the store of drafts.
        active_channels: notes which channels are opened.
    """
    user_sync = UserSync(bus)
    positions = _positions(events, messages)
    marker = ReadMarker(cache, counts, positions, ChannelMessages(messages, events, positions))
    receipts = ReadReceipts(events, memberships, cache, positions, marker)
    return CommandHandlers(marker, receipts, DraftCommands(cache, drafts, user_sync), user_sync, active_channels)


def _positions(events: Log, messages: Messages) -> Positions:
    return Positions(events, AcceptedMessages(messages, events))
