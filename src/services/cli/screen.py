"""The events of a client as lines for people."""

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from fanout.client import (
    AuthOk,
    Catchup,
    ChatMessage,
    Disconnected,
    ErrorFrame,
    Event,
    FullRefreshRequired,
    MemberJoined,
    MemberLeft,
    MessageNew,
    MissedMessages,
    PresenceUpdate,
    ReceiptRead,
    Received,
    ResumeDropped,
    SyncDraft,
    SyncRead,
    ThreadReply,
    Typing,
    UnreadCounts,
)


class Screen:
    """Prints events, and messages about the connection.

    Args:
        out: gets the events.
        notices: gets the messages about the connection.
        raw: print frames as they were received, a line each.
    """

    def __init__(self, out: Console, notices: Console, *, raw: bool = False) -> None:
        self._out = out
        self._notices = notices
        self._raw = raw

    def show(self, received: Received) -> None:
        """Print an event, if people need to see it."""
        if notice := notice_of(received.event):
            self._notices.print(Text(notice, style="dim"))
        if not self._raw:
            for line in lines_of(received.event):
                self._out.print(line, soft_wrap=True)  # a file or a pipe gets one line for each message
        elif received.text is not None:
            self._out.file.write(received.text + "\n")
            self._out.file.flush()


def notice_of(event: Event) -> str | None:
    """The message about the connection that an event tells; None if it is about something else."""
    match event:
        case AuthOk(user_id=user_id):
            return f"connected as {printable(user_id)}; Ctrl-C ends it"
        case Disconnected():
            return f"{reason_of(event)}; reconnecting in {event.retry_in_s:.1f} s"
        case ResumeDropped(attempts=attempts):
            return (
                f"resuming failed {attempts} times, so this client connects without its position: messages sent since "
                "then are not shown, read them with channels.history"
            )
    return None


def reason_of(lost: Disconnected) -> str:
    """The reason why a connection ended, with its code."""
    return printable(lost.reason) if lost.code is None else f"{printable(lost.reason)} ({lost.code})"


def lines_of(event: Event) -> Iterator[Text]:
    """The lines that show an event; none for an event that people need not see."""
    match event:
        case MessageNew(message=message) | ThreadReply(message=message):
            yield _message(message)
        case ErrorFrame():
            yield Text(f"{printable(event.message)} ({printable(event.code)})", style="red")
        case Catchup() | UnreadCounts() | FullRefreshRequired():
            yield from _missed(event)
        case _:
            yield from _about_users(event)


def _missed(event: Catchup | UnreadCounts | FullRefreshRequired) -> Iterator[Text]:
    match event:
        case Catchup(channels=channels):
            for missed in channels:
                yield from _missed_in(missed)
        case UnreadCounts(channels=channels, total=total, mentions=mentions):
            counts = f"{total:,} messages in {len(channels):,} channels are unread, {mentions:,} mentions"
            yield Text(f"missed: {counts}: read them with channels.history", style="yellow")
        case FullRefreshRequired(reason=reason):
            is_reset = reason == "log_reset"
            lost = "the log lost messages, or was replaced" if is_reset else "something may have been missed"
            yield Text(f"{lost}: read the channels again with channels.history", style="yellow")


def _missed_in(missed: MissedMessages) -> Iterator[Text]:
    if missed.more:
        channel = printable(missed.channel_id)
        yield Text(f"#{channel} missed older messages too: read them with channels.history", style="yellow")
    yield from map(_message, missed.messages)


def _about_users(event: Event) -> Iterator[Text]:
    match event:
        case Typing(channel_id=channel, user_id=user, typing=True):
            yield Text(f"#{printable(channel)} {printable(user)} is typing", style="dim")
        case MemberJoined(channel_id=channel, user_id=user):
            yield Text(f"#{printable(channel)} {printable(user)} joined", style="italic")
        case MemberLeft(channel_id=channel, user_id=user):
            yield Text(f"#{printable(channel)} {printable(user)} left", style="italic")
        case ReceiptRead(channel_id=channel, message_id=message_id, read_by=users):
            readers = printable(", ".join(users))
            yield Text(f"#{printable(channel)} {readers} has read {printable(message_id)}", style="dim")
        case PresenceUpdate(user=user, status=status):
            yield Text(f"{printable(user)} is {printable(status)}", style="dim")
        case SyncRead(channel_id=channel, last_read_id=message_id):
            yield Text(f"#{printable(channel)} read up to {printable(message_id)} on another device", style="dim")
        case SyncDraft(channel_id=channel, draft=draft):
            written = "draft deleted" if draft is None else f"draft: {printable(draft.text)}"
            yield Text(f"#{printable(channel)} {written}", style="dim")


def printable(text: str) -> str:
    """The text without control characters: other users wrote it, and they could control the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _message(message: ChatMessage) -> Text:
    thread = "" if message.thread_id is None else f"in the thread of {printable(message.thread_id)} "
    return Text.assemble(
        (f"{printable(message.sent_at)} ", "dim"),
        (f"#{printable(message.channel_id)} ", "cyan"),
        (f"{printable(message.message_id)} {thread}", "dim"),
        (f"{printable(message.sender_id)}: ", "bold"),
        printable(message.text),
    )
