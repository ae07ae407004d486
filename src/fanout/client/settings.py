"""The times and bounds of a client, which programs may change."""

from dataclasses import dataclass, field

from fanout.client.reconnecting import Delays


@dataclass(frozen=True)
class ClientSettings:
    """Times in seconds, and bounds."""

    auth_within_s: float = 30.0
    """From the open socket to `auth.ok`."""
    answer_within_s: float = 10.0
    """From a heartbeat to any frame of the server, before the connection is given up."""
    idle_after_s: float = 60.0
    """Without an interaction, before an active user is idle."""
    repeat_after_s: float = 2.0
    """About the time after an error of a store, before the frame is sent again."""
    typing_repeat_s: float = 3.0
    """Between two notices that the user is typing."""
    delays: Delays = field(default_factory=Delays)
    """How long to wait before connecting again."""
    queue_size: int = 1_000
    """Events that may wait for the program before the connection is not read any more."""
    resume_attempts: int = 3
    """How many times in a row resuming may fail before the resume point is dropped."""
