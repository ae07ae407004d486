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

from benchmarks.live.parts import Stage
from benchmarks.live.pipeline.draining import Clock, Drained, DrainSettings, until_none
from fanout.events import encode
from fanout.subjects import MESSAGES, channel_of, instance_events

_DURABLE: Final = "plainly"
_FETCH: Final = 200
_WAIT_S: Final = 5.0
_MAX_ACK_PENDING: Final = 10_000


class Event(msgspec.Struct, frozen=True):
    """A stored event, decoded."""

    type: str
    channel_id: str
    message: dict[str, Any]


def drain_plainly(settings: DrainSettings, stage: Stage) -> Drained:
    """Fetch, decode, look up, encode, publish to each target, acknowledge."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_drain(settings, stage))


async def _drain(settings: DrainSettings, stage: Stage) -> Drained:
    nc = await connect(settings.url)
    js = nc.jetstream()
    config = ConsumerConfig(
        durable_name=_DURABLE,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.ALL if settings.joined_acks else AckPolicy.EXPLICIT,
        max_ack_pending=_MAX_ACK_PENDING,
    )
    plain = _Plain(nc, settings)
    stage.ready()
    clock = Clock(settings.watched)
    await js.add_consumer(MESSAGES, config)
    subscription = await js.pull_subscribe_bind(consumer=_DURABLE, stream=MESSAGES)
    handled = 0
    while handled < settings.feed.events:
        messages = await subscription.fetch(min(_FETCH, settings.feed.events - handled), timeout=_WAIT_S)
        await plain.handle(messages)
        handled += len(messages)
    await nc.flush()
    await until_none("acknowledgement is taken", lambda: _unacknowledged(js, settings.feed.events))
    drained = clock.read(handled)
    await nc.close()
    return drained


async def _unacknowledged(js: JetStreamContext, events: int) -> int:
    floor = (await js.consumer_info(MESSAGES, _DURABLE)).ack_floor
    return max(0, events - (floor.stream_seq if floor else 0))


class _Plain:
    def __init__(self, nc: Client, settings: DrainSettings) -> None:
        self._publish = nc.publish
        targets = list(map(instance_events, settings.instances))
        self._targets = {name: targets for name in settings.feed.names}  # noqa: C420 - one list, which nobody changes
        self._decode = msgspec.json.Decoder(Event).decode
        self._joined_acks = settings.joined_acks

    async def handle(self, messages: list[Msg]) -> None:
        for msg in messages:
            await self._pass_on(msg)
            if not self._joined_acks:
                await msg.ack()
        if self._joined_acks:
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
