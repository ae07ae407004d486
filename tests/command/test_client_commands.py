"""Each command of a WebSocket client reaches the part that handles it."""

import json
from typing import Any, cast

from fanout.ids import new_device_id
from fanout.ports.unread import ReadPosition
from services.command.client_commands import CommandHandlers
from services.runtime.active_channels import ActiveChannels
from services.runtime.user_sync import UserSync
from tests.support.faulty import FaultyBus

DEVICE = new_device_id()
AT = "2026-02-01T10:00:00.000Z"
READ = ("alice", "general", "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV")


class Recorded:
    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[object, ...]]] = []
        self.pointer: ReadPosition | None = ReadPosition(7, 7, 0, READ[2], AT)

    async def mark_read(self, *arguments: str) -> ReadPosition | None:
        self.calls.append(("mark_read", arguments))
        return self.pointer

    async def message_read(self, *arguments: str) -> None:
        self.calls.append(("message_read", arguments))

    async def save(self, *arguments: object, **_options: object) -> str:
        self.calls.append(("save", arguments))
        return "saved"

    async def load(self, *arguments: object) -> str:
        self.calls.append(("load", arguments))
        return "loaded"


async def test_each_goes_to_its_part_with_its_result() -> None:
    receipts, drafts = Recorded(), Recorded()
    active = ActiveChannels(cast("Any", None))
    handlers = CommandHandlers(
        cast("Any", Recorded()), cast("Any", receipts), cast("Any", drafts), UserSync(FaultyBus()), active
    )
    await handlers.message_read(*READ)
    assert receipts.calls == [("message_read", READ)]
    assert await handlers.save_draft("alice", "general", None, device_id="dev") == cast("Any", "saved")
    assert await handlers.open_channel("alice", "general") == cast("Any", "loaded")
    assert list(active._waiting) == [("alice", "general")]
    assert drafts.calls == [("save", ("alice", "general", None)), ("load", ("alice", "general"))]


async def test_a_pointer_that_moved_is_published_and_one_that_did_not_is_not() -> None:
    bus, marker = FaultyBus(), Recorded()
    nothing = cast("Any", None)
    handlers = CommandHandlers(cast("Any", marker), nothing, nothing, UserSync(bus), nothing)
    await handlers.mark_read(*READ, device_id=DEVICE)
    ((subject, payload),) = bus.published
    assert subject == "user.sync.alice"
    assert json.loads(payload) == {
        "type": "read_sync",
        "user_id": "alice",
        "channel_id": READ[1],
        "source_device": DEVICE,
        "last_read_id": READ[2],
        "last_read_at": AT,
        "seq": 7,
    }
    marker.pointer = None
    await handlers.mark_read(*READ, device_id=DEVICE)
    assert len(bus.published) == 1
