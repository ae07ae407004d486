"""The trace: what the processes of a run do inside, which only a story needs.

It observes the simulated servers, the log lines of the product and the tables of its processes. It draws nothing and
waits for nothing, so a run is the same with it and without it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import Any, Final
from unittest.mock import patch

import structlog

from fanout import decode_batch
from fanout.events import MemberEvent, decode_member_event
from fanout.lanes import Lane
from fanout.packed_ids import unpack
from fanout.ports.memberships import Membership
from fanout.streams import MESSAGES, META
from fanout.subjects import PRESENCE_HINTS, channel_of, instance_control, instance_events, worker_inbox
from fanout.workers import PresenceSetRequest, decode_control, decode_presence_change, decode_presence_set_page
from services.adapters.sqlite.memberships import SqliteMemberships
from services.fan_out.worker import FanOutWorker
from services.notification.channel_lists import ChannelLists
from services.runtime.membership_order import MembershipOrder
from tests.simulation.bus_server import LinkedBus, LinkedSubscription
from tests.simulation.history import Entry
from tests.simulation.hosts import HOST
from tests.simulation.links import Linked
from tests.simulation.log_readers import LinkedReader
from tests.simulation.log_server import LinkedLog
from tests.simulation.loop import SimulationLoop
from tests.simulation.routing_trace import RoutingTrace
from tests.simulation.servers import Servers
from tests.simulation.tables import Tables, Wrong
from tests.simulation.trace_sentences import LOG_SENTENCES
from tests.simulation.world import World

_LEVEL_INFO: Final = 20


class Trace:
    """What the processes of a run did.

    Args:
        world: of the run.

    Attributes:
        entries: in order. Each has in `of` the users, channels and messages that it is about.
        changes: what each change of the members says, by its seq, in words.
    """

    def __init__(self, world: World) -> None:
        self.entries: list[Entry] = []
        self.changes: dict[int, str] = {}
        self._world = world
        self._ids: dict[str, int] = {}
        self._tables = Tables(world, self._add)
        self._routing = RoutingTrace(self.tell, world.plan.shape.partitions)
        self._closed = False

    @property
    def wrong(self) -> list[Wrong]:
        """Where tables differed from what was so, and since when."""
        return self._tables.wrong

    def tell(self, what: str, of: Sequence[str] = (), **about: Any) -> None:
        """Add an entry, behind those of the tables that have changed before."""
        if not self._closed:
            self._tables.look()
            self._add(what, of, **about)

    def close(self) -> None:
        """Take no further entry: the run has ended."""
        self._tables.close()
        self._closed = True

    def _add(self, what: str, of: Sequence[str] = (), **about: Any) -> None:
        self.entries.append(Entry(self._world.loop.virtual.now, what, {"of": list(of), **about}))

    def observe(self, stack: ExitStack) -> None:
        """Observe the run until the stack is closed."""
        before = partial(_observe, stack, before=True)
        after = partial(_observe, stack)
        before(Servers, "_stored", self._stored)
        before(LinkedLog, "notice", self._notices)
        before(SimulationLoop, "_wait_for_a_timer", lambda _loop: self._tables.look())
        after(FanOutWorker, "__init__", lambda worker, _none, *_args, **_options: self._tables.add(worker))
        after(LinkedLog, "tail", self._follows)
        after(LinkedReader, "fetch", self._fetched)
        before(LinkedReader, "ack", self._acked)
        after(LinkedBus, "_write", lambda _bus, _none, subject, payload: self._published(subject, payload))
        before(LinkedSubscription, "_arrive", lambda _subscription, subject, payload: self._arrived(subject, payload))
        after(MembershipOrder, "is_newest", self._judged)
        after(Linked, "_reach", self._answered)
        after(ChannelLists, "ask", self._given)
        for change in ("create", "resume_creation", "add", "remove"):
            after(SqliteMemberships, change, self._changed)
        known = structlog.get_config()
        stack.callback(lambda: structlog.configure(**known))
        structlog.configure(processors=[self._logged], wrapper_class=structlog.make_filtering_bound_logger(_LEVEL_INFO))

    def _stored(self, _servers: Servers, stream: str, seq: int, subject: str, payload: bytes) -> None:
        if stream == META:
            event = decode_member_event(payload, channel_of(subject))
            self.changes[seq] = _said(event)
            self._ids[event.event_id] = seq
        else:
            self._routing.stored(stream, seq, channel_of(subject), payload)

    def _fetched(self, reader: LinkedReader, events: Any) -> None:
        if reader.stream == MESSAGES:
            self._routing.fetched(_process(), reader, [event.seq for event in events])

    def _acked(self, reader: LinkedReader, seq: int) -> None:
        if reader.stream == MESSAGES:
            self._routing.acked(_process(), reader, seq)

    def _follows(self, _log: LinkedLog, _tail: Any, stream: str, *, after: int) -> None:
        self.tell("follows", process=_process(), stream=stream, after=after)

    def _notices(self, log: LinkedLog) -> None:
        for reset in log.server.resets[log._noticed :]:
            self.tell("notices", process=log.link.client.name, stream=reset.stream)

    def _published(self, subject: str, payload: bytes) -> None:
        process, to = _process(), subject.rpartition(".")[2]
        if subject == instance_events(to):
            for event in decode_batch(payload):
                if event.kind == "member":
                    channel, change = str(event.channel), self.changes[event.seq]
                    self.tell("routes change", [channel, change.split()[0]], process=process, to=to, change=change)
                elif event.lane:
                    self._routing.sent(process, to, event.kind, Lane.of_number(event.lane), event.seq)
        elif subject == instance_control(to) and isinstance(decode_control(payload), PresenceSetRequest):
            self.tell("asks for users", process=process, to=to)
        elif subject == PRESENCE_HINTS:
            hint = decode_presence_change(payload)
            about: dict[str, Any] = {"user": hint.user_id, "online": hint.online, "instance": hint.instance_id}
            self.tell("announces", [hint.user_id], process=process, **about)

    def _arrived(self, subject: str, payload: bytes) -> None:
        process = _process()
        if subject.startswith(worker_inbox("")):
            page = decode_presence_set_page(payload)
            about: dict[str, Any] = {"instance": page.instance, "users": page.users, "unchanged": page.unchanged}
            self.tell("presence set", process=process, **about)

    def _judged(self, _order: MembershipOrder, is_newest: Any, event: MemberEvent, **_options: Any) -> None:
        about = {"change": _said(event), "seq": self._ids.get(event.event_id, 0)}
        what = "applies" if is_newest else "skips"
        self.tell(what, [event.user_id, event.channel_id], process=_process(), **about)

    def _answered(self, linked: Linked, answer: Any, work: Any, name: str) -> None:
        process = linked._link.client.name
        match name:
            case "write":
                for message in work.args[0]:
                    name, channel = str(message.client_msg_id), message.channel_id
                    self.tell("writes", [name, channel], process=process, message=name, seq=message.seq)
            case "packed_channels_of":
                (user,) = work.args
                self.tell("loads", [user], process=process, user=user, channels=unpack(answer))

    def _given(self, _lists: ChannelLists, found: Any, user: str, **_options: Any) -> None:
        if found is not None:
            self.tell("is given", [user], process=_process(), user=user, channels=sorted(unpack(found)))

    def _changed(self, _store: Any, changed: Any, *_args: Any, published: bool = False, **_options: Any) -> None:
        for membership in [changed] if isinstance(changed, Membership) else changed or ():
            about = {"user": membership.user_id, "channel": membership.channel_id}
            is_member = membership.left_at is None
            if self._tables.set_member(is_member=is_member, **about) and not published:  # else it is of the plan
                self.tell("member", [membership.user_id, membership.channel_id], is_member=is_member, **about)

    def _logged(self, _logger: Any, level: str, line: Any) -> Any:
        host, event = HOST.get(None), line.pop("event")
        is_told = level != "info" or event in LOG_SENTENCES
        if host is not None and is_told:
            of = [str(line["user_id"])] if "user_id" in line else []
            line.pop("exc_info", None)
            # The folder is another one in each run, and a story is not.
            fields = {key: str(value).replace(f"{self._world.folder}/", "") for key, value in line.items()}
            self.tell("logs", of, process=host.name, event=event, fields=fields)
        raise structlog.DropEvent


@contextmanager
def tracing(world: World) -> Iterator[Trace]:
    """Trace a run while the context lasts.

    Args:
        world: of the run, before it is opened.
    """
    trace = Trace(world)
    with ExitStack() as stack:
        trace.observe(stack)
        stack.callback(trace.close)
        yield trace


def _observe(stack: ExitStack, owner: Any, name: str, observer: Callable[..., None], *, before: bool = False) -> None:
    """Call an observer with what a method gets, before it or after it; after it, its result is the second argument."""
    original = getattr(owner, name)
    observe_before, observe_after = (observer, None) if before else (None, observer)

    @wraps(original)
    def observed(self: Any, *args: Any, **options: Any) -> Any:
        if observe_before is not None:
            observe_before(self, *args, **options)
        result = original(self, *args, **options)
        if observe_after is not None:
            observe_after(self, result, *args, **options)
        return result

    @wraps(original)
    async def observed_later(self: Any, *args: Any, **options: Any) -> Any:
        if observe_before is not None:
            observe_before(self, *args, **options)
        result = await original(self, *args, **options)
        if observe_after is not None:
            observe_after(self, result, *args, **options)
        return result

    stack.enter_context(patch.object(owner, name, observed_later if iscoroutinefunction(original) else observed))


def _process() -> str:
    return HOST.get().name


def _said(event: MemberEvent) -> str:
    verb = "joined" if type(event).__name__ == "MemberJoined" else "left"
    return f"{event.user_id} {verb} {event.channel_id}"
