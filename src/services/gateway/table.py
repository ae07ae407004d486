"""The table of calls that the gateway serves, resource by resource."""

from typing import Protocol

from fanout.api import channels, devices, drafts, history, messages, realtime, receipts, threads, unread
from fanout.api.calls import ServedCall, served


class Commands(messages.MessageCalls, channels.ChannelCalls, Protocol):
    """Handles the calls that change something."""


class Queries(history.HistoryCalls, threads.ThreadCalls, realtime.RealtimeCalls, Protocol):
    """Handles the calls that only read."""


def table(
    commands: Commands,
    queries: Queries,
    unread_calls: unread.UnreadCalls,
    receipt_calls: receipts.ReceiptCalls,
    draft_calls: drafts.DraftCalls,
    device_calls: devices.DeviceCalls,
) -> tuple[ServedCall, ...]:
    """Every call, with the service that handles it.

    Args:
        commands: the command service.
        queries: the query service.
        unread_calls: the part of the query service that knows what is unread.
        receipt_calls: the part of the query service that knows who has read what.
        draft_calls: the part of the command service that keeps drafts.
        device_calls: the part of the command service that handles devices.
    """
    return (
        *served(messages.CALLS, commands),
        *served(channels.CALLS, commands),
        *served(history.CALLS, queries),
        *served(threads.CALLS, queries),
        *served(realtime.CALLS, queries),
        *served(unread.CALLS, unread_calls),
        *served(receipts.CALLS, receipt_calls),
        *served(drafts.CALLS, draft_calls),
        *served(devices.CALLS, device_calls),
    )
