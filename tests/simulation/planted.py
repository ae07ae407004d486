"""Faults of the product, to be planted one by one: the simulation must find each of them.

A planted fault takes a repair out of the product as it stands, or a precaution. `python -m tests.simulation --planted
NAME` shows how one is found.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple
from unittest.mock import patch

from fanout.errors import PartitionLost, Unavailable
from fanout.keys import PresenceChange
from fanout.lanes import Lane
from fanout.ports.log import PartitionEvents, PartitionReader, StoredEvent
from services.command.membership_publisher import MembershipPublisher
from services.command.republishing import Republisher
from services.command.service import CommandService
from services.fan_out.known_instance import KnownInstance
from services.fan_out.liveness import Liveness
from services.fan_out.partitions import Partitions
from services.fan_out.presence_applier import PresenceApplier
from services.fan_out.publisher import Publisher
from services.fan_out.reconciler import Reconciler
from services.fan_out.snapshots import Snapshots
from services.fan_out.suspensions import Suspensions
from services.notification.delivered_lanes import DeliveredLanes
from services.notification.gap_repair import GapRepair
from services.notification.housekeeping import Housekeeping
from services.notification.log_resets import LogResets
from services.notification.registry import Registry
from services.notification.routing_barrier import RoutingBarrier
from services.runtime.consumer import ConsumerWorker
from services.runtime.membership_order import MembershipOrder
from services.runtime.tasks import retry_forever


class Planted(NamedTuple):
    """A fault of the product."""

    what: str
    """What the product then does, in a sentence."""
    patches: Sequence[tuple[type, str, Callable[..., Any]]]
    """What is replaced: the class, the name, and by what."""


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Plant a fault while the context lasts.

    Args:
        name: a key of `PLANTED`; empty for none.
    """
    with ExitStack() as stack:
        for owner, attribute, replacement in PLANTED[name].patches if name else ():
            stack.enter_context(patch.object(owner, attribute, replacement))
        yield


def _nothing(*_args: Any, **_options: Any) -> None:
    """Do nothing."""


async def _do_nothing(*_args: Any, **_options: Any) -> None:
    """Do nothing."""


async def _skip_the_gap(self: GapRepair, lane: Lane, upto: int, _waiting: Any) -> None:
    self._lanes.advance(lane, upto)


async def _rebase_one_too_far(self: DeliveredLanes) -> None:
    for stream in self._baseline:
        self._baseline[stream] = await self._log.last_seq(stream) + 1
    for number in self.progress.lanes():
        lane = Lane.of_number(number)
        self.advance(lane, self._baseline[lane.stream])


async def _dead_without_lease(self: Liveness, instances: Any) -> list[tuple[str, KnownInstance]]:
    dead = [(name, instance) for name, instance in instances.items() if instance.digest_heard and not instance.leased]
    return [] if self._clock() < self._spared_until else dead


async def _never_dead(_self: Liveness, _instances: Any) -> list[tuple[str, KnownInstance]]:
    return []


async def _acknowledge_first(self: ConsumerWorker[Any], consumer: Any, events: list[StoredEvent]) -> None:
    await retry_forever(lambda: consumer.ack(events), "acknowledging")
    try:
        await self._consumption.handle(self._decode(events)[0], max(events, key=lambda event: event.seq))
    except Unavailable:
        return


async def _acknowledge_unpublished(self: Partitions, lane: Lane, reader: PartitionReader, events: Any) -> None:
    assert isinstance(events, PartitionEvents)
    await retry_forever(lambda: reader.ack(events.last_seq), "acknowledging")
    self._engine.route_stored(lane.spec.kind, lane.number, lane.part, events.deliveries)
    self._publisher.poke()


async def _always_newest(_self: MembershipOrder, _event: Any, **_options: Any) -> bool:
    return True


async def _mark_to_the_end(self: Partitions, claim: Any, lane: Lane) -> None:
    try:
        position = await self._log.last_seq(lane.stream)
    except PartitionLost:
        return
    if self._claims.get(lane.part) is claim:
        self._engine.advance(lane.number, position)


async def _announce_nothing(_self: RoutingBarrier, _user_id: str) -> bool:
    return True


def _agree(_self: Reconciler, digest: Any, instance: KnownInstance) -> None:
    instance.hear(digest, _self._clock(), agrees=True)


def _never_suspend(self: Suspensions, instance_id: str, *, stopped: str = "") -> None:
    self._stopped.setdefault(instance_id, stopped)


def _resume_nothing(self: Suspensions, instance_id: str) -> None:
    self._stopped.pop(instance_id, None)


async def _publish_once(self: Publisher, batches: list[tuple[str, bytes]]) -> None:
    try:
        await self._offer([(f"instance.events.{instance}", payload) for instance, payload in batches])
    except Unavailable:
        return


async def _evict_twice(self: Reconciler, instance_id: str, _instance: KnownInstance, *, stopped: str = "") -> None:
    del self._instances[instance_id]
    self._evicting.add(instance_id)
    self._suspensions.suspend(instance_id, stopped=stopped)
    try:
        await self._presence_applier.drop_instance(instance_id)
    finally:
        self._evicting.discard(instance_id)


def _keep_slow(_self: Registry, _session: Any) -> None:
    """Keep a session that has lost a frame."""


async def _leave_nothing(_self: Registry, _user_id: str, _channel_id: str) -> None:
    """Let the sessions of a user who has left read on."""


def _forget_what_was_asked(self: Reconciler, change: PresenceChange) -> None:
    if change.instance_id in self._evicting:
        return
    if self._instances.get(change.instance_id) is None and change.online:
        self._meet(change.instance_id)
    self._presence_applier.change(change)


async def _store_again(self: CommandService, message: Any, correlation_id: str) -> str:
    from services.command.service import _payload  # noqa: PLC0415 - of this fault alone

    payload = _payload(f"evt_{message.message_id[4:]}", message, correlation_id)
    await self._log.append(f"messages.send.{message.channel_id}", payload, msg_id=message.message_id)
    return str(message.message_id)


async def _use_any_snapshot(_self: Snapshots, _note: Any) -> str:
    return ""


PLANTED: Final[dict[str, Planted]] = {
    "gaps are skipped": Planted(
        "an instance does not read from the log what the bus has lost", [(GapRepair, "repair", _skip_the_gap)]
    ),
    "off by one": Planted(
        "an instance that gets its first client takes the next event for one that it has had",
        [(DeliveredLanes, "rebase", _rebase_one_too_far)],
    ),
    "acknowledged before written": Planted(
        "the message writer acknowledges events before it has written them",
        [(ConsumerWorker, "_process", _acknowledge_first)],
    ),
    "acknowledged before published": Planted(
        "a worker acknowledges events before the bus has taken their batches",
        [(Partitions, "_handle", _acknowledge_unpublished), (Publisher, "_publish", _publish_once)],
    ),
    "batches are published once": Planted(
        "a worker drops the batches that the bus does not take", [(Publisher, "_publish", _publish_once)]
    ),
    "member events in any order": Planted(
        "an older change of a membership undoes a newer one", [(MembershipOrder, "is_newest", _always_newest)]
    ),
    "marks are sent early": Planted(
        "a worker says that an idle partition was routed to the end of the log, and has not looked",
        [(Partitions, "_advance_if_idle", _mark_to_the_end)],
    ),
    "auth.ok does not wait": Planted(
        "a client is admitted before the workers route to it, and they learn of it by the digests alone",
        [(RoutingBarrier, "announce_until_confirmed", _announce_nothing)],
    ),
    "presence sets are not compared": Planted(
        "a worker never asks for the presence set of an instance whose digest differs from its table",
        [(Reconciler, "_compare", _agree)],
    ),
    "instances are never suspended": Planted(
        "a worker routes to an instance of which it knows only a part of the users",
        [(Suspensions, "suspend", _never_suspend), (Suspensions, "resume", _resume_nothing)],
    ),
    "memberships are loaded once": Planted(
        "a membership that changes while a user's channels are loaded is overwritten",
        [(PresenceApplier, "membership_changed", _nothing)],
    ),
    "the dead are kept": Planted("a worker never evicts an instance that is dead", [(Liveness, "dead", _never_dead)]),
    "members are not followed": Planted(
        "a worker reads a partition before it has applied the membership changes that the last reader routed",
        [(Partitions, "_follow_members", _do_nothing)],
    ),
    "slow readers are kept": Planted(
        "a client that reads too slowly loses a message and keeps its connection",
        [(Registry, "_close_slow", _keep_slow)],
    ),
    "silent clients are kept": Planted(
        "an instance never ends the session of a client that is gone", [(Housekeeping, "_sweep", _do_nothing)]
    ),
    "those who left read on": Planted(
        "an instance delivers to users who have left", [(Registry, "leave", _leave_nothing)]
    ),
    "repeats are stored": Planted(
        "the gateway stores a message again when the user repeats it", [(CommandService, "_store", _store_again)]
    ),
    "changes are not published again": Planted(
        "the gateways do not publish again the membership changes that the log has lost",
        [(Republisher, "_republish", _do_nothing)],
    ),
    "any snapshot is used": Planted(
        "a worker starts from a snapshot that the log has outrun", [(Snapshots, "_why_not", _use_any_snapshot)]
    ),
    "the snapshot crash": Planted(
        "two tasks of a worker evict the same instance, and the second one fails",
        [(Reconciler, "_evict", _evict_twice)],
    ),
    "the log that went back": Planted(
        "nobody tells the clients that the log has lost messages", [(LogResets, "hear", _nothing)]
    ),
    "the change not told": Planted(
        "what a gateway changed in the membership store and did not publish is never published",
        [(MembershipPublisher, "sweep", _do_nothing)],
    ),
    "Redis that refuses": Planted(
        "an instance that cannot renew its lease is evicted, though its digests come",
        [(Liveness, "dead", _dead_without_lease)],
    ),
}
"""Each planted fault by its name."""
