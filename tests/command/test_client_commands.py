"""Each command of a WebSocket client reaches the part that handles it."""

from typing import Any, cast

from services.command.client_commands import CommandHandlers

READ = ("alice", "general", "msg_1")


class Recorded:
    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[str, ...]]] = []

    async def mark_read(self, *arguments: str) -> str:
        self.calls.append(("mark_read", arguments))
        return "the pointer"

    async def message_read(self, *arguments: str) -> None:
        self.calls.append(("message_read", arguments))


async def test_each_goes_to_its_part_with_its_result() -> None:
    marker, receipts = Recorded(), Recorded()
    handlers = CommandHandlers(cast("Any", marker), cast("Any", receipts))
    assert await handlers.mark_read(*READ) == cast("Any", "the pointer")
    await handlers.message_read(*READ)
    assert (marker.calls, receipts.calls) == ([("mark_read", READ)], [("message_read", READ)])
