"""A model of what a notification instance does for one client, which may be cut off at any frame."""

import json
from collections import deque
from typing import Any

from fanout.client import ClientProtocol, Closing, Phase

DEVICE_ID = "dev_web_01JD5T6Q9FZ0Y4W3V2B1N0M8K7"


class ModelServer:
    """A log with partitions, and the one connection of a client.

    Partitions run apart: what one delivers may be newer than what another has yet to deliver. A catch-up comes in the
    order of the log, and live events follow it.
    """

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.log: list[tuple[str, int]] = []
        """The channel and the partition of each event; its seq is its place, from 1."""
        self.frames: deque[dict[str, Any]] = deque()
        """Written and not received yet."""
        self.lanes: list[deque[dict[str, Any]]] = [deque() for _ in range(partitions)]
        self.is_connected = False

    def post(self, channel: int) -> None:
        """Store a message of a channel."""
        part = channel % self.partitions
        self.log.append((f"c{channel}", part))
        if self.is_connected:
            self.lanes[part].append(self._event(len(self.log)))

    def connect(self, auth: dict[str, Any], tier: int) -> None:
        """Answer `auth`; a client that resumes is caught up by a tier."""
        self.is_connected = True
        end, resume = len(self.log), auth.get("resume")
        welcome = {"type": "auth.ok", "user_id": "u", "session_id": "s", "device_id": auth["device_id"], "log": "l"}
        self.frames.append(welcome | {"seq": end, "parts": {}, "heartbeat_s": 30})
        if resume is None:
            return
        missed = [seq for seq in range(1, end + 1) if self._lacks(resume, seq)]
        self.frames += [self._event(seq) for seq in missed] if tier == 1 else self._catchup(missed)
        self.frames.append({"type": "catchup.complete", "tier": tier, "last_event_seq": end})

    def deliver(self, part: int, *, again: bool = False) -> None:
        """Write the next live event of a partition; twice, if it is told to."""
        if lane := self.lanes[part % self.partitions]:
            event = lane.popleft()
            self.frames += [event, event] if again else [event]

    def answer_heartbeat(self) -> None:
        """Write how far everything was delivered."""
        undelivered = [lane[0]["seq"] for lane in self.lanes if lane]
        self.frames.append({"type": "heartbeat.ok", "seq": min(undelivered, default=len(self.log) + 1) - 1})

    def cut(self) -> None:
        """Lose the connection, and what was not received."""
        self.is_connected = False
        self.frames.clear()
        for lane in self.lanes:
            lane.clear()

    def _lacks(self, resume: dict[str, Any], seq: int) -> bool:
        part = self.log[seq - 1][1]
        had: int = max(resume["seq"], resume.get("parts", {}).get(str(part), 0))
        return seq > had

    def _event(self, seq: int) -> dict[str, Any]:
        channel, part = self.log[seq - 1]
        message = {"message_id": f"m{seq}", "channel_id": channel, "sender_id": "s", "text": "t", "sent_at": "at"}
        return {"type": "message.new", "seq": seq, "part": part, "channel_id": channel, "message": message}

    def _catchup(self, missed: list[int]) -> list[dict[str, Any]]:
        """Tier 2: a frame for each channel, without the newest event, which comes amid them from the log."""
        newest = [self._event(seq) for seq in missed[-1:]]
        channels: dict[str, list[dict[str, Any]]] = {event["channel_id"]: [] for event in newest}
        for event in map(self._event, missed[:-1]):
            channels.setdefault(event["channel_id"], []).append(event["message"] | {"seq": event["seq"]})
        stored = [{"channel_id": channel, "messages": messages} for channel, messages in channels.items()]
        frames = [{"type": "catchup", "tier": 2, "channels": [missed_there]} for missed_there in stored]
        return frames[:1] + newest + frames[1:]


class ModelDriver:
    """Drives a client's protocol against the model, frame by frame."""

    def __init__(self, server: ModelServer, client: ClientProtocol) -> None:
        self.server = server
        self.client = client
        self.now = 0.0

    def connect(self, tier: int) -> None:
        """Connect as soon as the client wants to."""
        if self.client.phase is Phase.WAITING:
            self.now = max(self.now, self.client.deadline or 0.0)
            self.client.handle_deadline(self.now)
        if self.client.phase is Phase.CONNECTING:
            self.client.connection_made("token", self.now)
            self.server.connect(json.loads(self.client.take_frames()[0]), tier)

    def receive(self, count: int) -> None:
        """Hand the client so many of the frames that were written."""
        for _ in range(min(count, len(self.server.frames))):
            self.client.receive(json.dumps(self.server.frames.popleft()), self.now)

    def cut(self) -> None:
        """Lose the connection."""
        if self.server.is_connected:
            self.server.cut()
            self.client.connection_lost(Closing(None, ""), self.now)
