"""Faults of the product, to be planted one by one: the simulation must find each of them.

A planted fault takes a repair out of the product as it stands, or a precaution. `python -m tests.simulation --planted
NAME` shows how one is found. What replaces a method calls the method that it replaces, where it can, and changes one
thing: a copy would not follow the product.
"""

import asyncio
import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final, NamedTuple
from unittest.mock import patch

import msgspec

from fanout import machine
from fanout.api.history import History, HistoryRequest
from fanout.error_codes import NOT_A_MEMBER
from fanout.errors import CallRejected
from fanout.ids import new_event_id
from fanout.lanes import Lane
from fanout.ports.messages import Position
from fanout.streams import META
from fanout.workers import RoutingConfirmed
from services.command.membership_publisher import MembershipPublisher
from services.command.republishing import Republisher
from services.command.service import CommandService
from services.fan_out import known_instance, reconciler, worker_group
from services.fan_out.contact import Contact
from services.fan_out.known_instance import ASK_AGAIN_AFTER_S, KnownInstance
from services.fan_out.liveness import Liveness, note_leases
from services.fan_out.members import Members
from services.fan_out.partitions import Partitions
from services.fan_out.reconciler import Reconciler
from services.fan_out.typing_router import TypingRouter
from services.fan_out.worker import FanOutWorker
from services.notification.catch_up.log_end import LogEnd
from services.notification.delivered_lanes import DeliveredLanes
from services.notification.gap_repair import GapRepair
from services.notification.housekeeping import Housekeeping
from services.notification.log_resets import LogResets
from services.notification.registry import Registry
from services.notification.routing_barrier import RoutingBarrier
from services.notification.session import Session
from services.notification.session_channels import SessionChannels
from services.notification.user_routing import UserRouting
from services.query.cursors import Cursors, Direction, Scope
from services.query.service import QueryService
from services.runtime.consumer import ConsumerWorker
from services.runtime.membership_cache import MembershipCache
from services.runtime.membership_order import MembershipOrder
from services.runtime.positions import Ends, Positions
from services.runtime.tasks import retry_forever
from tests.simulation.planted_conversations import CONVERSATIONS

_REBASE: Final = DeliveredLanes.rebase
_PROCESS: Final = ConsumerWorker._process
_EVICT: Final = Reconciler._evict
_NOTIFY_CLIENTS: Final = LogResets._notify_clients
_GIVE: Final = Cursors.give
_ENDS: Final = Positions.ends
_HISTORY: Final = QueryService.history
_STORE: Final = CommandService._store
_RUN_MEMBERS: Final = Members.run
_CONFIRM: Final = RoutingBarrier.confirm
_CHANGED: Final = MembershipCache.changed
_UNKNOWN: Final = -1
_LATE_S: Final = 1.0
_JOINED_S: Final = 5.0


class Planted(NamedTuple):
    """A fault of the product."""

    what: str
    """What the product then does, in a sentence."""
    patches: Sequence[tuple[Any, str, Any]]
    """What is replaced: the class or module, the name, and by what."""


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


async def _rebase_one_too_far(self: DeliveredLanes) -> None:
    await _REBASE(self)
    for stream in self._baseline:
        self._baseline[stream] += 1


def _forget_digests(leases: Any, instances: Any) -> None:
    note_leases(leases, instances)
    for instance in instances.values():
        if instance.digest_heard and not instance.leased:
            instance.heard_at = -math.inf


async def _never_dead(_self: Liveness, _instances: Any) -> list[tuple[str, KnownInstance]]:
    return []


async def _acknowledge_first(self: ConsumerWorker[Any], consumer: Any, events: Any) -> None:
    await retry_forever(partial(consumer.ack, events), "acknowledging")
    await _PROCESS(self, consumer, events)


async def _always_newest(_self: MembershipOrder, _event: Any, **_options: Any) -> bool:
    return True


async def _mark_to_the_end(self: Partitions, claim: Any, lane: Lane) -> None:
    position = await self._log.last_seq(lane.stream)
    if self._claims.get(lane.part) is claim:
        self._engine.advance(lane.number, position)


async def _announce_nothing(_self: RoutingBarrier, *_args: Any, **_options: Any) -> bool:
    return True


def _confirm_every_arrival(self: RoutingBarrier, notice: RoutingConfirmed) -> None:
    _CONFIRM(self, msgspec.structs.replace(notice, users=dict.fromkeys(notice.users, self.announced)))


async def _ask_for_no_end(_self: LogEnd, _session: Session) -> int:
    return 0


def _fail(_self: TypingRouter, _subject: str, _payload: bytes) -> None:
    raise KeyError("planted")


async def _take_any_list(self: SessionChannels, session: Session) -> bool:
    found = await self._channel_lists.ask(session.user_id, members_upto=0)
    if found is not None:
        await self._registry.subscribe(session, found)
    return found is not None


def _agree(self: Reconciler, digest: Any, instance: KnownInstance) -> None:
    instance.hear(digest, self._clock(), agrees=True)


async def _evict_whoever_is_known(self: Reconciler, instance_id: str, _instance: Any, **options: Any) -> None:
    await _EVICT(self, instance_id, self._instances[instance_id], **options)


class _Forgetful:
    """A log that does not know a repeat."""

    def __init__(self, log: Any) -> None:
        self._log = log

    async def append(self, subject: str, payload: bytes, *, msg_id: str) -> Any:
        return await self._log.append(subject, payload, msg_id=f"{msg_id}:{new_event_id()}")


async def _store_again(self: CommandService, message: Any, correlation_id: str) -> str:
    forgetful: Any = copy.copy(self)
    forgetful._log = _Forgetful(self._log)
    return await _STORE(forgetful, message, correlation_id)


async def _find_no_end(_self: FanOutWorker) -> int:
    return _UNKNOWN


async def _find_the_end_late(self: Members, after: int) -> None:
    if after == _UNKNOWN:
        await asyncio.sleep(_LATE_S)
        after = await retry_forever(partial(self._log.last_seq, META), "finding the end of the membership changes")
    await _RUN_MEMBERS(self, after)


async def _give_without_gap(
    self: Cursors, scope: Scope, direction: Direction, position: Position, _gap: Any = None
) -> str:
    return await _GIVE(self, scope, direction, position, None)


async def _find_the_log_empty(self: Positions) -> Ends:
    return (await _ENDS(self))._replace(newest=0)


async def _refuse_created(self: QueryService, user_id: str, request: HistoryRequest) -> History:
    if request.channel.startswith("new"):
        raise CallRejected(NOT_A_MEMBER)
    return await _HISTORY(self, user_id, request)


def _any_who_claims(notices: Any) -> dict[int, str]:
    return {part: worker for worker, notice in notices.items() for part in notice.partitions}


async def _tell_once(self: LogResets) -> None:
    resets: Any = self
    now = machine.monotonic_s()
    if now - getattr(resets, "told_at", -math.inf) > _JOINED_S:
        resets.told_at = now
        await _NOTIFY_CLIENTS(self)


def _drop_what_is_kept(self: MembershipCache, channel_id: str, user_id: str) -> None:
    reads, self._reads = self._reads, {}
    _CHANGED(self, channel_id, user_id)
    self._reads = reads


def _is_followed(self: MembershipCache) -> bool:
    return self._heard_up_to > -math.inf


def _never_silent(self: Contact) -> int | None:
    return self._number or None


PLANTED: Final[dict[str, Planted]] = {
    "gaps are skipped": Planted(
        "an instance does not read from the log what the bus has lost", [(GapRepair, "_read_log", _do_nothing)]
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
        [(Registry, "_close_slow", _nothing)],
    ),
    "silent clients are kept": Planted(
        "an instance never ends the session of a client that is gone", [(Housekeeping, "_sweep", _do_nothing)]
    ),
    "those who left read on": Planted(
        "an instance delivers to users who have left", [(Registry, "leave", _do_nothing)]
    ),
    "repeats are stored": Planted(
        "the gateway stores a message again when the user repeats it", [(CommandService, "_store", _store_again)]
    ),
    "changes are not published again": Planted(
        "the gateways do not publish again the membership changes that the log has lost",
        [(Republisher, "_republish", _do_nothing)],
    ),
    "the end is found late": Planted(
        "a worker that starts loads memberships first, and asks a second later from where on it is to follow changes",
        [(FanOutWorker, "_newest_change", _find_no_end), (Members, "run", _find_the_end_late)],
    ),
    "known since the process began": Planted(
        "a worker takes the time at which it was made for that from which on it reads changes of memberships",
        [(MembershipOrder, "begin", _nothing)],
    ),
    "no patience": Planted(
        "a worker asks for a presence set again each second, and takes no page of an earlier request",
        [(known_instance, "LONGEST_PATIENCE_S", ASK_AGAIN_AFTER_S)],
    ),
    "late routing is hidden": Planted(
        "a client whom a worker does not route to in time is admitted and not told",
        [(UserRouting, "_wait_late", _nothing)],
    ),
    "earlier arrivals are confirmed": Planted(
        "an instance takes the confirmation of a user's earlier arrival for that of the newest one, and admits at once",
        [
            (RoutingBarrier, "confirm", _confirm_every_arrival),
            (UserRouting, "await_members", _do_nothing),
            (LogEnd, "held", _ask_for_no_end),
        ],
    ),
    "any list is taken": Planted(
        "an instance takes the channels that a worker gives it, however old, and whatever changes meanwhile",
        [(SessionChannels, "_load_as_routed", _take_any_list)],
    ),
    "loaded memberships are not awaited": Planted(
        "a client is admitted with memberships that a worker has not applied yet",
        [(UserRouting, "await_members", _do_nothing)],
    ),
    "old claims count": Planted(
        "a worker releases a partition that another one names, who has lost it and not noticed",
        [(worker_group, "_readers", _any_who_claims)],
    ),
    "losses are told once": Planted(
        "an instance tells its clients once of losses within 5 s, also those who connected in between",
        [(LogResets, "_notify_clients", _tell_once)],
    ),
    "a silent worker routes on": Planted(
        "a worker that was silent routes to the instances as if they had waited for it",
        [(Contact, "current", _never_silent)],
    ),
    "the snapshot crash": Planted(
        "two tasks of a worker evict the same instance, and the second one fails",
        [(Reconciler, "_evict", _evict_whoever_is_known)],
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
    "an old answer is kept": Planted(
        "the cache of a gateway keeps an answer that was under way while the user left",
        [(MembershipCache, "changed", _drop_what_is_kept)],
    ),
    "silence is trusted": Planted(
        "a gateway that hears no changes of memberships takes its cache for true",
        [(MembershipCache, "is_current", property(_is_followed))],
    ),
    "cursors skip": Planted(
        "a page by a cursor says that it is complete, though a message behind it was stored late",
        [(Cursors, "give", _give_without_gap)],
    ),
    "the log seems empty": Planted(
        "a page says that the log held nothing when it was asked for, so a client reads no further",
        [(Positions, "ends", _find_the_log_empty)],
    ),
    "new channels are refused": Planted(
        "the history of a channel that was created later is refused to its members",
        [(QueryService, "history", _refuse_created)],
    ),
    "Redis that refuses": Planted(
        "an instance that cannot renew its lease is evicted, though its digests come",
        [(reconciler, "note_leases", _forget_digests)],
    ),
    **{name: Planted(*fault) for name, fault in CONVERSATIONS.items()},
}
"""Each planted fault by its name."""
