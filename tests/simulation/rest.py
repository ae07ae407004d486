"""Rest: once nothing goes wrong any more, everything agrees, and nothing is left over."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from fanout.events import Message, ReceiptRead, StoredMessage, decode_message_event, decode_receipt_event
from fanout.packed_ids import unpack
from fanout.ports.log import StoredEvent
from fanout.ports.messages import Page
from fanout.ports.unread import ReadPosition
from fanout.streams import DEAD, MESSAGES, RECEIPTS, ROUTED_STREAMS
from fanout.subjects import channel_of
from tests.simulation.people import People
from tests.simulation.processes import SimulatedProcess
from tests.simulation.world import World


@dataclass(frozen=True)
class Found:
    """What the log and the stores hold at the end."""

    held: dict[int, str]
    """The name of each message that the log holds, by seq."""
    channels: dict[int, str]
    """Its channel."""
    dead: int
    """How many dead letters there are."""
    history: dict[str, list[StoredMessage]]
    """The messages of each channel in the message store, the newest first."""
    members: dict[str, list[str]]
    messages: dict[int, Message] = field(default_factory=dict)
    """Each message that the log holds, by seq."""
    threads: dict[str, list[StoredMessage]] = field(default_factory=dict)
    """The replies of each thread in the message store, the oldest first."""
    pointers: dict[tuple[str, str], ReadPosition] = field(default_factory=dict)
    """Up to where each member has read, by user and channel."""
    receipts: dict[str, dict[str, str]] = field(default_factory=dict)
    """When each reader has read each message, by the receipt store."""
    read: dict[int, ReceiptRead] = field(default_factory=dict)
    """Each receipt that the log holds, by seq."""


async def look(world: World) -> Found:
    """Look at what the servers hold, past every link."""
    servers = world.servers
    events: list[StoredEvent] = await servers.asked("nats", partial(servers.log.held, MESSAGES))
    dead = await servers.asked("nats", partial(servers.log.held, DEAD))
    channels = sorted({channel_of(event.subject) for event in events} | set(world.plan.channels))
    history, members = {}, {}
    for channel in channels:
        page = await servers.asked("stores", partial(servers.messages.history, channel, limit=100_000))
        history[channel] = page.messages
        members[channel] = await servers.asked("stores", partial(servers.memberships.members_of, channel))
    read = await _read(world)
    messages = {event.seq: decode_message_event(event.payload, channel_of(event.subject)) for event in events}
    return Found(
        {seq: message.client_msg_id or "" for seq, message in messages.items()},
        {seq: message.channel_id for seq, message in messages.items()},
        len(dead),
        history,
        members,
        messages,
        await _threads(world, sorted({message.thread_id for message in messages.values() if message.thread_id})),
        await _pointers(world, members),
        await _receipts(world, read.values()),
        read,
    )


async def _threads(world: World, thread_ids: Iterable[str]) -> dict[str, list[StoredMessage]]:
    threads = {}
    for thread_id in thread_ids:
        page: Page = await world.servers.asked(
            "stores", partial(world.servers.messages.replies, thread_id, limit=100_000)
        )
        threads[thread_id] = page.messages
    return threads


async def _read(world: World) -> dict[int, ReceiptRead]:
    events: list[StoredEvent] = await world.servers.asked("nats", partial(world.servers.log.held, RECEIPTS))
    return {event.seq: decode_receipt_event(event.payload, channel_of(event.subject)) for event in events}


async def _receipts(world: World, read: Iterable[ReceiptRead]) -> dict[str, dict[str, str]]:
    receipts = {}
    for channel, message_id in sorted({(event.channel_id, event.message_id) for event in read}):
        of_message = partial(world.servers.messages.receipts_of, channel, message_id, 1_000)
        receipts[message_id] = dict(await world.servers.asked("stores", of_message))
    return receipts


async def _pointers(world: World, members: Mapping[str, list[str]]) -> dict[tuple[str, str], ReadPosition]:
    pointers: dict[tuple[str, str], ReadPosition] = {}
    for user in sorted({user for there in members.values() for user in there}):
        channels = [channel for channel, there in members.items() if user in there]
        states = await world.servers.asked("redis", partial(world.servers.unread.states, user, channels))
        pointers |= {(user, channel): state.pointer for channel, state in zip(channels, states, strict=True)}
    return pointers


async def every_channel(world: World) -> list[str]:
    """Every channel that there is, past every link."""
    every = "SELECT channel_id FROM channels WHERE 1 LIMIT ?"
    channels: list[str] = await world.servers.asked("stores", partial(world.servers.memberships._strings, every, 1_000))
    return sorted(channels)


async def unrest(world: World, people: People) -> list[str]:
    """What is not at rest, a sentence each; empty where everything is."""
    stopped = [name for name, process in world.processes.items() if not process.is_running]
    if stopped:
        return [f"{', '.join(stopped)} not started"]
    problems = await _not_ready(world)
    away = [name for name, device in people.devices.items() if device.wanted and device.session is None]
    problems += [f"{name} is not connected" for name in away]
    if problems:
        return problems
    return [*await _unfinished(world), *await _disagreements(world, people), *_left_over(world)]


async def _not_ready(world: World) -> list[str]:
    problems = []
    for name, process in world.processes.items():
        report = await process.report()
        if report is None:
            problems.append(f"{name} has ended")
        elif not report.ready or report.degraded:
            wrong = {check: text for check, text in report.checks.items() if text != "ok"}
            problems.append(f"{name} is not ready: {wrong}")
    return problems


async def _unfinished(world: World) -> list[str]:
    servers, problems = world.servers, []
    if lag := await servers.asked("nats", servers.log.lag):
        problems.append(f"{lag} events of the log are not handled")
    if unpublished := await servers.asked("stores", servers.memberships.count_unpublished):
        problems.append(f"{unpublished} changes of memberships are not published")
    return problems


async def _disagreements(world: World, people: People) -> list[str]:
    """Where tables, instances, presence and the stores differ from what is so."""
    servers = world.servers
    users, devices = _connected(world, people)
    channels = {}
    for user in sorted({user for there in users.values() for user in there}):
        channels[user] = unpack(await servers.asked("stores", partial(servers.memberships.packed_channels_of, user)))
    every, problems = await every_channel(world), []
    for process in world.of_kind("worker"):
        problems += _table_differs(process, users, channels)
    for process in world.of_kind("instance"):
        problems += _instance_differs(process, users[process.name], channels, every)
    leases = sorted(await servers.asked("redis", servers.presence.leases))
    if leases != sorted(users):
        problems.append(f"the leases are of {_names(leases)}")
    for user, own in devices.items():
        recorded = await servers.asked("redis", partial(servers.presence.connections_of, user))
        # The record of a device that has gone may stay until it ends by itself.
        if lacking := own - {connection.device_id for connection in recorded}:
            problems.append(f"presence has no record of {_names(lacking)}, which are connected")
    return problems


def _connected(world: World, people: People) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """The users who are connected to each instance, and the connected devices of each user."""
    users: dict[str, set[str]] = {process.name: set() for process in world.of_kind("instance")}
    devices: defaultdict[str, set[str]] = defaultdict(set)
    for device in people.devices.values():
        if device.session is not None:
            users.setdefault(device.instance, set()).add(device.user)
            devices[device.user].add(device.device_id)
    return users, devices


def _table_differs(
    process: SimulatedProcess, users: Mapping[str, set[str]], channels: Mapping[str, list[str]]
) -> list[str]:
    worker, problems = process.worker, []
    assert worker is not None
    engine = worker._engine
    if gone := sorted(set(engine.occupied_instances()) - set(users)):
        problems.append(f"{process.name} routes to {_names(gone)}, which do not run")
    for instance, there in users.items():
        if (held := set(worker.users_on(instance))) != there:
            problems.append(f"{process.name} has {_names(held)} on {instance}, and connected there: {_names(there)}")
    for user, own in channels.items():
        if (held_channels := sorted(engine.channels(user))) != own:
            problems.append(f"{process.name} has {user} in {_names(held_channels)}, who is in {_names(own)}")
    if suspended := [instance for instance in users if worker.reconciler.is_suspended(instance)]:
        problems.append(f"{process.name} sends nothing to {_names(suspended)}")
    return problems


def _instance_differs(
    process: SimulatedProcess, there: set[str], channels: Mapping[str, list[str]], every: list[str]
) -> list[str]:
    instance, problems = process.instance, []
    if instance is None:
        return [f"{process.name} serves no WebSockets"]
    problems += undelivered(process)
    registry = instance.registry
    if (held := set(registry.users())) != there:
        problems.append(f"{process.name} holds {_names(held)}, and connected to it: {_names(there)}")
    for user in sorted(held & there):
        read = [channel for channel in every if registry.is_member(user, channel)]
        if read != channels[user]:
            problems.append(f"{process.name} has {user} in {_names(read)}, who is in {_names(channels[user])}")
    return problems


def undelivered(process: SimulatedProcess) -> list[str]:
    """What an instance has heard of workers and not delivered yet, because it reads the log first."""
    instance = process.instance
    if instance is None or not (waiting := len(instance._inbox._batches)):
        return []
    return [f"{process.name} has not delivered {waiting} batches that it has"]


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _left_over(world: World) -> list[str]:
    """Processes that keep tasks which they should have ended."""
    problems = []
    for name, process in world.processes.items():
        more = process.tasks() - process.tasks_at_start - _tasks_of_what_it_has(process)
        if more:
            said = ", ".join(f"{count} of {task}" for task, count in sorted(more.items()))
            problems.append(f"{name} keeps tasks that it had not when it started: {said}")
    return problems


def _tasks_of_what_it_has(process: SimulatedProcess) -> Counter[str]:
    """The tasks of the connections of an instance, of the partitions of a worker and of the calls of a gateway."""
    if process.instance is not None:
        return Counter({"SimulatedProcess._serve": len(process.instance.registry)})
    if process.worker is not None:
        claims = process.worker.partitions._claims.values()
        lanes = sum(len(claim.readers) for claim in claims)
        idle = {"Partitions._advance_if_idle": lanes}  # every second; over a slow connection it is always under way
        beside = {"Partitions._read_beside": len(claims) * (len(ROUTED_STREAMS) - 1)}
        reading = {"Partitions._read": len(claims), "Partitions._read_batches": len(claims)}
        return Counter(reading | beside | idle)
    return Counter({"Edge.__call__": process.calls})
