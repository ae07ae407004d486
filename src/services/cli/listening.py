"""A client that listens over a WebSocket, and reconnects when the connection drops."""

import asyncio
from typing import Any, Final, NoReturn

import orjson
from rich.console import Console
from rich.text import Text
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from fanout import machine
from fanout.error_codes import CloseCode
from fanout.events import timestamp
from fanout.ids import new_device_id
from services.cli.rest import ClientError, Rest

HEARTBEAT_S: Final = 30.0
OPEN_TIMEOUT_S: Final = 10.0
MAX_FRAME: Final = 16 * 1024 * 1024
FIRST_DELAY_S: Final = 0.5
LONGEST_DELAY_S: Final = 5.0

MISSED: Final = "messages sent during the interruption are not shown: read them with channels.history"

_WITH_MESSAGE: Final = {"message.new", "thread.reply"}
_FINAL: Final[dict[int, str]] = {
    CloseCode.UNAUTHENTICATED: "the server refused the token",
    CloseCode.REPLACED: "this device was deregistered, or replaced by a newer connection",
}


def backoff(attempt: int) -> float:
    """Seconds to wait before a retry, with jitter, so that many clients do not reconnect at once.

    Args:
        attempt: the number of failures in a row before this try, from 0.
    """
    return machine.random_between(0.5, 1.0) * min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(attempt, 10))


class Position:
    """The position of the last frame that this client saw, which it sends to resume there; contract section 3."""

    def __init__(self) -> None:
        self._seq = 0
        self._parts: dict[str, int] = {}
        self._last_seen = ""

    def see(self, frame: dict[str, Any]) -> None:
        """Record the position of a frame from the server."""
        self._last_seen = timestamp()
        if frame.get("type") == "heartbeat.ok":
            self._seq = max(self._seq, int(frame.get("seq") or 0))
        elif "seq" in frame and "part" in frame:
            part = str(frame["part"])
            self._parts[part] = max(self._parts.get(part, 0), int(frame["seq"]))

    def resume(self) -> dict[str, Any]:
        """The fields for the auth frame; empty before the first frame was seen."""
        if not self._last_seen:
            return {}
        if not self._seq and not self._parts:
            return {"last_seen": self._last_seen}
        return {"resume": {"seq": self._seq, "parts": self._parts}, "last_seen": self._last_seen}


class Screen:
    """Prints frames and notices.

    Args:
        out: gets the frames.
        notices: gets the messages about the connection.
        raw: print frames as they were received, a line each.
    """

    def __init__(self, out: Console, notices: Console, *, raw: bool = False) -> None:
        self._out = out
        self._notices = notices
        self._raw = raw

    def frame(self, text: str, frame: dict[str, Any]) -> None:
        """Print a frame from the server."""
        if self._raw:
            self._out.file.write(text + "\n")
            self._out.file.flush()
        elif line := describe(frame):
            self._out.print(line, soft_wrap=True)  # a file or a pipe gets one line for each message

    def notice(self, text: str) -> None:
        """Print a message about the connection."""
        self._notices.print(Text(text, style="dim"))


class Listener:
    """One device that listens.

    Args:
        rest: asks for the WebSocket address, and gives the tokens.
        screen: prints the frames.
        reads: whether to tell the server that the user has read each message that comes.
    """

    def __init__(self, rest: Rest, screen: Screen, *, reads: bool = False) -> None:
        self._rest = rest
        self._reads = reads
        self._screen = screen
        self._device_id = new_device_id("desktop")
        self._position = Position()
        self._welcomed = False
        self._connected_before = False
        self._heartbeat_s = HEARTBEAT_S

    async def run(self) -> None:
        """Listen until cancelled.

        Raises:
            ClientError: the first connection failed, or the server refuses this client for good.
        """
        attempt = 0
        while True:
            self._welcomed = False
            reason = await self._connect_once()
            attempt = 0 if self._welcomed else attempt + 1
            if not self._connected_before:
                raise ClientError(reason)
            delay = backoff(attempt)
            self._screen.notice(f"{reason}; reconnecting in {delay:.1f} s")
            await asyncio.sleep(delay)

    async def _connect_once(self) -> str:
        """Listen on one connection until it drops, and return why it did."""
        try:
            url = await self._rest.websocket_url()
            async with connect(url, compression=None, open_timeout=OPEN_TIMEOUT_S, max_size=MAX_FRAME) as socket:
                await self._listen(socket)
        except ConnectionClosed as closed:
            return _reason(closed)
        except ClientError as error:
            if not self._connected_before:
                raise
            return str(error)
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
            return f"the WebSocket cannot be reached: {str(error) or type(error).__name__}"

    async def _listen(self, socket: ClientConnection) -> NoReturn:
        await socket.send(orjson.dumps(self._auth()).decode())
        clock = asyncio.get_running_loop().time
        due = clock() + self._heartbeat_s
        while True:
            try:
                async with asyncio.timeout_at(due):
                    text = await socket.recv(decode=True)
            except TimeoutError:
                await socket.send(orjson.dumps(self._heartbeat()).decode())
                due = clock() + self._heartbeat_s
            else:
                frame = self._take(str(text))
                due = min(due, clock() + self._heartbeat_s)
                for answer in _read(frame) if self._reads else ():
                    await socket.send(orjson.dumps(answer).decode())

    def _take(self, text: str) -> dict[str, Any]:
        """Handle a frame, and return it."""
        frame = _decoded(text)
        if frame.get("type") == "auth.ok":
            self._welcomed = True
            self._heartbeat_s = float(frame.get("heartbeat_s") or HEARTBEAT_S)
            self._screen.notice(f"connected as {printable(str(frame.get('user_id')))}; Ctrl-C ends it")
            if self._connected_before:
                self._screen.notice(MISSED)
            self._connected_before = True
        self._position.see(frame)
        self._screen.frame(text, frame)
        return frame

    def _auth(self) -> dict[str, Any]:
        identity = {"type": "auth", "token": self._rest.token(), "device_id": self._device_id}
        return {**identity, "platform": "desktop", **self._position.resume()}

    def _heartbeat(self) -> dict[str, Any]:
        return {"type": "heartbeat", "device_id": self._device_id, "state": "active"}


def _read(frame: dict[str, Any]) -> list[dict[str, Any]]:
    """The frames that say that the message of a frame is read; none where it has no message."""
    message = frame.get("message")
    if frame.get("type") not in _WITH_MESSAGE or not isinstance(message, dict):
        return []
    about = {"channel_id": frame.get("channel_id"), "message_id": message.get("message_id")}
    return [{"type": "mark_read", **about}, {"type": "message.read", **about}]


def _reason(closed: ConnectionClosed) -> str:
    code = closed.rcvd.code if closed.rcvd else None
    if code in _FINAL:
        raise ClientError(f"{_FINAL[code]} ({code})") from closed
    if code is None or closed.rcvd is None:
        return "the connection dropped"
    # The text after the semicolon says what a client should do, which this one does by itself.
    why = printable(closed.rcvd.reason.partition(";")[0])
    return f"{why or 'the connection dropped'} ({code})"


def _decoded(text: str) -> dict[str, Any]:
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ClientError("the server sent a frame that is not JSON") from error
    if not isinstance(frame, dict):
        raise ClientError("the server sent a frame that is not an object")
    return frame


def printable(text: str) -> str:
    """The text without control characters: other users wrote it, and they could control the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def describe(frame: dict[str, Any]) -> Text | None:
    """A frame as text for people, or None for one that they need not see."""
    kind = frame.get("type")
    message = frame.get("message")
    if kind in _WITH_MESSAGE and isinstance(message, dict):
        return _message(message)
    if kind == "full_refresh_required":
        is_reset = frame.get("reason") == "log_reset"
        lost = "the log lost messages, or was replaced" if is_reset else "something may have been missed"
        return Text(f"{lost}: read the channels again with channels.history", style="yellow")
    if kind == "error":
        return Text(f"{printable(str(message))} ({printable(str(frame.get('code')))})", style="red")
    return _about_members(frame)


def _about_members(frame: dict[str, Any]) -> Text | None:
    """A frame about members of a channel as text; None for one that people need not see."""
    kind, readers = frame.get("type"), frame.get("read_by")
    channel, user = printable(str(frame.get("channel_id"))), printable(str(frame.get("user_id")))
    if kind == "typing" and frame.get("typing"):
        return Text(f"#{channel} {user} is typing", style="dim")
    if kind in {"member.joined", "member.left"}:
        return Text(f"#{channel} {user} {'joined' if kind == 'member.joined' else 'left'}", style="italic")
    if kind == "receipt.read" and isinstance(readers, list):
        who = ", ".join(printable(str(reader)) for reader in readers)
        return Text(f"#{channel} {who} has read {printable(str(frame.get('message_id')))}", style="dim")
    return None


def _message(message: dict[str, Any]) -> Text:
    shown = {name: printable(str(value)) for name, value in message.items() if value is not None}
    thread = f"in the thread of {shown['thread_id']} " if "thread_id" in shown else ""
    message_id = f"{shown['message_id']} " if "message_id" in shown else ""
    return Text.assemble(
        (f"{shown.get('sent_at', '')} ", "dim"),
        (f"#{shown.get('channel_id', '')} ", "cyan"),
        (message_id + thread, "dim"),
        (f"{shown.get('sender_id', '')}: ", "bold"),
        shown.get("text", ""),
    )
