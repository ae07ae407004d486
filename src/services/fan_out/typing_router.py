"""Typing notices: ephemeral events, routed like a message and never stored."""

from fanout import Engine, partition_of
from fanout.events import decode_typing, typing_frame
from fanout.ids import check_id
from fanout.ports.bus import Bus
from fanout.subjects import TYPING, channel_of
from services.fan_out.metrics import TYPING_DROPPED
from services.fan_out.partitions import Partitions
from services.fan_out.publisher import Publisher
from services.runtime.skipping import skip
from services.runtime.tasks import retry_forever


class TypingRouter:
    """Routes a typing notice to the instances of the channel, except for the one that published it.

    That instance has written the notice to its own clients already. Each worker hears each notice, and the worker that
    reads the channel's partition routes it.
    """

    def __init__(
        self, engine: Engine, bus: Bus, partitions: Partitions, publisher: Publisher, partition_count: int
    ) -> None:
        self._engine = engine
        self._bus = bus
        self._partitions = partitions
        self._publisher = publisher
        self._partition_count = partition_count

    async def listen(self) -> None:
        """Subscribe to typing notices."""
        await retry_forever(lambda: self._bus.subscribe(TYPING, self._hear), "listening to typing")

    def _hear(self, subject: str, payload: bytes) -> None:
        try:
            channel = check_id(channel_of(subject), "channel_id")
            notice = decode_typing(payload)
        except ValueError as error:
            skip("typing", error)
            return
        if not self._partitions.is_claimed(partition_of(channel, self._partition_count)):
            return
        if self._publisher.congested:
            TYPING_DROPPED.inc()  # a notice is out of date within seconds, so none is kept
            return
        frame = typing_frame(channel, notice.user_id, typing=notice.typing)
        if self._engine.route(channel, frame, exclude=notice.instance_id, actor=notice.user_id):
            self._publisher.poke()
