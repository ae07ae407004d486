"""Faults of the product, to be planted one by one: the simulation must find each of them.

A planted fault takes a repair out of the product as it stands, or a precaution. `python -m tests.simulation --planted
NAME` shows how one is found.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple
from unittest.mock import patch

from fanout.errors import PartitionLost, Unavailable
from fanout.lanes import Lane
from fanout.ports.log import StoredEvent
from services.command.membership_publisher import MembershipPublisher
from services.command.republishing import Republisher
from services.command.service import CommandService
from services.fan_out.contact import Contact
from services.fan_out.known_instance import ASK_AGAIN_AFTER_S, MISMATCHES_BEFORE_REPAIR, KnownInstance
from services.fan_out.liveness import INSTANCE_SILENT_AFTER_S, Liveness
from services.fan_out.partitions import Partitions
from services.fan_out.reconciler import Reconciler
from services.fan_out.typing_router import TypingRouter
from services.fan_out.worker import LOOK_AT_LEASES_EVERY_S, MARK_EVERY_S, FanOutWorker
from services.notification.delivered_lanes import DeliveredLanes
from services.notification.gap_repair import GapRepair
from services.notification.housekeeping import Housekeeping
from services.notification.log_resets import LogResets
from services.notification.registry import Registry
from services.notification.routing_barrier import RoutingBarrier
from services.notification.user_routing import UserRouting
from services.runtime.consumer import ConsumerWorker
from services.runtime.membership_order import MembershipOrder
from services.runtime.tasks import periodic, retry_forever


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
    silent_since = self._clock() - INSTANCE_SILENT_AFTER_S
    return [
        (name, instance)
        for name, instance in instances.items()
        if not instance.leased and (instance.digest_heard or instance.heard_at < silent_since)
    ]


async def _never_dead(_self: Liveness, _instances: Any) -> list[tuple[str, KnownInstance]]:
    return []


async def _acknowledge_first(self: ConsumerWorker[Any], consumer: Any, events: list[StoredEvent]) -> None:
    await retry_forever(lambda: consumer.ack(events), "acknowledging")
    try:
        await self._consumption.handle(self._decode(events)[0], max(events, key=lambda event: event.seq))
    except Unavailable:
        return


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


def _fail(_self: TypingRouter, _subject: str, _payload: bytes) -> None:
    raise KeyError("planted")


def _agree(_self: Reconciler, digest: Any, instance: KnownInstance) -> None:
    instance.hear(digest, _self._clock(), agrees=True)


async def _evict_twice(self: Reconciler, instance_id: str, _instance: KnownInstance, *, stopped: str = "") -> None:
    del self._instances[instance_id]
    self._evicting.add(instance_id)
    self._suspensions.forget(instance_id, stopped=stopped)
    try:
        await self._presence_applier.drop_instance(instance_id)
    finally:
        self._evicting.discard(instance_id)


def _keep_slow(_self: Registry, _session: Any) -> None:
    """Keep a session that has lost a frame."""


async def _leave_nothing(_self: Registry, _user_id: str, _channel_id: str) -> None:
    """Let the sessions of a user who has left read on."""


async def _store_again(self: CommandService, message: Any, correlation_id: str) -> str:
    from services.command.service import _payload  # noqa: PLC0415 - of this fault alone

    payload = _payload(f"evt_{message.message_id[4:]}", message, correlation_id)
    await self._log.append(f"messages.send.{message.channel_id}", payload, msg_id=message.message_id)
    return str(message.message_id)


async def _find_the_end_late(self: FanOutWorker) -> None:
    self.presence_applier.start()
    self.reconciler.adopt()
    await self.reconciler.listen()
    await self._typing.listen()
    self._ports.log.on_reset(self._log_resets.hear)
    after = self._start.after if self._start else await self._newest_change()
    self._tasks.start(self.publisher.run(), "publisher")
    self._tasks.start(self._members.run(after), "members")
    self._tasks.start(periodic(LOOK_AT_LEASES_EVERY_S, self.reconciler.follow_leases, "following leases"), "leases")
    self._tasks.start(periodic(MARK_EVERY_S, self._mark, "marking positions"), "marks")
    self._tasks.start(self.worker_group.run(self.ready), "worker group")
    self._tasks.start(self._become_ready(), "loading the table")


async def _ask_after_the_leases(self: Reconciler) -> None:
    await self._follow_liveness()
    self._ask_for_due()
    self._leases_read = True
    self._check_complete()


def _due_every_second(self: KnownInstance, now: float) -> bool:
    if self.transfer is None:
        return not self.loaded or self.mismatches >= MISMATCHES_BEFORE_REPAIR
    return not self.transfer.complete and now - self.transfer.progressed_at > ASK_AGAIN_AFTER_S


async def _admit_unconfirmed(self: UserRouting, user_id: str) -> None:
    await self._routing_barrier.announce_until_confirmed(user_id)


def _never_silent(self: Contact) -> int | None:
    return self._number or None


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
    "the dead are kept": Planted("a worker never evicts an instance that is dead", [(Liveness, "dead", _never_dead)]),
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
    "the end is found late": Planted(
        "a worker that starts loads memberships first, and then asks from where on it is to follow their changes",
        [(FanOutWorker, "start", _find_the_end_late)],
    ),
    "no patience": Planted(
        "a worker asks for a presence set again each second, and takes no page of an earlier request",
        [(KnownInstance, "is_due", _due_every_second)],
    ),
    "late routing is hidden": Planted(
        "a worker without Redis asks for no presence set, and who it does not route to is admitted and not told",
        [(Reconciler, "follow_leases", _ask_after_the_leases), (UserRouting, "announce_arrival", _admit_unconfirmed)],
    ),
    "a silent worker routes on": Planted(
        "a worker that was silent routes to the instances as if they had waited for it",
        [(Contact, "current", _never_silent)],
    ),
    "the snapshot crash": Planted(
        "two tasks of a worker evict the same instance, and the second one fails",
        [(Reconciler, "_evict", _evict_twice)],
    ),
    "a handler that fails": Planted(
        "a worker fails at each typing notice, which is then lost, and says so by a metric alone",
        [(TypingRouter, "_hear", _fail)],
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
