"""The straightforward way to drain the stream, with the same libraries: what the worker is compared with."""

import asyncio
from typing import Any, Final

import msgspec
import uvloop
from nats import connect
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from benchmarks.live.pipeline.worker import Drained, DrainSettings, start_stopwatch, until_none
from benchmarks.processes import Leader
from fanout.events import encode
from fanout.subjects import MESSAGES, channel_of, instance_events

_DURABLE: Final = "naive"
_FETCH: Final = 200
_WAIT_S: Final = 5.0
_MAX_ACK_PENDING: Final = 10_000


class Event(msgspec.Struct, frozen=True):
    """A stored event, decoded."""

    type: str
    channel_id: str
    message: dict[str, Any]


def drain_naively(settings: DrainSettings, _leader: Leader) -> Drained:
    """Fetch, decode, look up, encode, publish to each target, acknowledge."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_drain(settings))


async def _drain(settings: DrainSettings) -> Drained:
    nc = await connect(settings.url)
    js = nc.jetstream()
    config = ConsumerConfig(
        durable_name=_DURABLE,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.ALL if settings.ack_per_fetch else AckPolicy.EXPLICIT,
        max_ack_pending=_MAX_ACK_PENDING,
    )
    consumer, wanted, handled = _NaiveConsumer(nc, settings), settings.stored.events, 0
    stopwatch = start_stopwatch(settings)
    await js.add_consumer(MESSAGES, config)
    subscription = await js.pull_subscribe_bind(consumer=_DURABLE, stream=MESSAGES)
    while handled < wanted:
        messages = await subscription.fetch(min(_FETCH, wanted - handled), timeout=_WAIT_S)
        await consumer.handle(messages)
        handled += len(messages)
    await nc.flush()
    await until_none("acknowledgement is taken", lambda: _unacknowledged(js, wanted))
    elapsed = stopwatch.read()
    await nc.close()
    return Drained(handled, elapsed.seconds, elapsed.processor)


async def _unacknowledged(js: JetStreamContext, events: int) -> int:
    floor = (await js.consumer_info(MESSAGES, _DURABLE)).ack_floor
    return max(0, events - (floor.stream_seq if floor else 0))


class _NaiveConsumer:
    def __init__(self, nc: Client, settings: DrainSettings) -> None:
        self._publish = nc.publish
        targets = list(map(instance_events, settings.instances))
        self._targets = {name: targets for name in settings.stored.names}  # noqa: C420 - one list, which nobody changes
        self._decode = msgspec.json.Decoder(Event).decode
        self._ack_per_fetch = settings.ack_per_fetch

    async def handle(self, messages: list[Msg]) -> None:
        for msg in messages:
            await self._pass_on(msg)
            if not self._ack_per_fetch:
                await msg.ack()
        if self._ack_per_fetch:
            await messages[-1].ack()

    async def _pass_on(self, msg: Msg) -> None:
        event = self._decode(msg.data)
        frame = encode(
            {
                "type": event.type,
                "seq": msg.metadata.sequence.stream,
                "part": int(msg.subject.split(".")[2]),
                "channel_id": event.channel_id,
                "message": event.message,
            }
        )
        for target in self._targets[channel_of(msg.subject)]:
            await self._publish(target, frame)
