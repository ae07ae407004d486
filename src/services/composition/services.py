"""The table of services. `fanout up` runs them together, and `fanout serve` one by one."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog

from fanout.errors import Unavailable
from fanout.ids import new_ulid
from fanout.ports.authenticator import Authenticator
from fanout.ports.bus import Bus
from fanout.ports.client_state import ClientState
from fanout.ports.devices import Devices
from fanout.ports.drafts import Drafts
from fanout.ports.followers import Followers
from fanout.ports.log import Log
from fanout.ports.memberships import Memberships
from fanout.ports.messages import LogPlace, Messages
from fanout.ports.presence import Leases
from fanout.ports.receipts import Receipts
from fanout.ports.unread import UnreadCounts
from fanout.streams import MESSAGES
from services.command.devices import DeviceCommands
from services.command.drafts import DraftCommands
from services.command.service import CommandService
from services.command.sweep import running_sweep
from services.composition.notification import running_notification
from services.composition.reading import client_commands, read_positions, receipt_queries, unread_queries
from services.composition.running import Service, ServiceContext, Services
from services.composition.this_machine import SNAPSHOT, WS_LISTEN
from services.fan_out.snapshots import Snapshots
from services.fan_out.worker import FanOutPorts, running_worker
from services.gateway.app import Gateway, gateway_app
from services.gateway.limiter import RateLimiter
from services.gateway.table import table
from services.message_writer.unread_counter import running_unread_counter
from services.message_writer.writer import running_writer
from services.notification.instance import NotificationPorts
from services.query.service import QueryService
from services.receipt_writer.writer import running_receipt_writer
from services.runtime.active_channels import ActiveChannels, noting_active_channels
from services.runtime.membership_cache import MembershipCache
from services.runtime.membership_follower import following_memberships
from services.runtime.settings import Settings
from services.runtime.user_sync import UserSync

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class MessageWriterPorts:
    """The ports of a message writer."""

    log: Log
    messages: Messages
    unread: UnreadCounts


@dataclass(frozen=True, slots=True)
class ReceiptWriterPorts:
    """The ports of a receipt writer."""

    log: Log
    receipts: Receipts


@dataclass(frozen=True, slots=True)
class GatewayPorts:
    """The ports of the gateway, and of command and query, which run inside it."""

    log: Log
    bus: Bus
    memberships: Memberships
    followers: Followers
    devices: Devices
    messages: Messages
    receipts: Receipts
    leases: Leases
    unread: UnreadCounts
    drafts: Drafts
    client_state: ClientState
    authenticator: Authenticator


@dataclass(frozen=True)
class InstancePorts(NotificationPorts):
    """The ports of a notification instance, and of the command service, which handles its clients' commands there."""

    messages: Messages
    unread: UnreadCounts
    drafts: Drafts
    client_state: ClientState


async def _start_message_writer(context: ServiceContext, ports: MessageWriterPorts) -> None:
    fail = context.process.fail
    positions = read_positions(ports.log, ports.messages)
    await context.enter(running_writer(ports.log, ports.messages, fail))
    await context.enter(running_unread_counter(ports.log, ports.unread, positions, fail))


async def _start_receipt_writer(context: ServiceContext, ports: ReceiptWriterPorts) -> None:
    await context.enter(running_receipt_writer(ports.log, ports.receipts, context.process.fail))


async def _start_fan_out(context: ServiceContext, ports: FanOutPorts) -> None:
    # Two workers of one name would take each other's messages for their own.
    worker_id = f"{context.settings.instance_id}-{new_ulid()[-8:]}"
    snapshots = _snapshots(context.settings, ports.log)
    worker = await context.enter(running_worker(worker_id, ports, context.process.fail, snapshots=snapshots))
    context.health.add("routing_table", worker.check_ready)
    context.health.add("instances", worker.reconciler.check_contact)


async def _following_memberships(
    context: ServiceContext, events: Log, memberships: Memberships, *, required: bool
) -> MembershipCache:
    cache, follower = await context.enter(following_memberships(events, memberships, context.process.fail))
    context.health.add("membership_changes", follower.check_ready, required=required)
    return cache


def _snapshots(settings: Settings, events: Log) -> Snapshots | None:
    if settings.snapshot is None:
        return None
    return Snapshots(settings.data_dir / settings.snapshot, events, every_s=settings.snapshot_every_s)


async def _start_notification(context: ServiceContext, ports: InstancePorts) -> None:
    cache = await _following_memberships(context, ports.log, ports.memberships, required=False)
    active_channels = await context.enter(noting_active_channels(ports.client_state, context.process.fail))
    commands = client_commands(
        ports.log, ports.bus, ports.memberships, cache, ports.messages, ports.unread, ports.drafts, active_channels
    )
    running = running_notification(
        context.settings, ports, commands, context.health, context.process.fail, context.serving_sockets
    )
    bound = await context.enter(running)
    log.info("serves WebSockets", url=context.settings.public_ws_url(bound))


async def _start_gateway(context: ServiceContext, ports: GatewayPorts) -> None:
    await context.enter(running_sweep(ports.log, ports.memberships, context.process.fail))
    for place in await _known_places(ports):
        # Before the first call is served: a log that lost events must not give their numbers to new ones.
        await ports.log.recall(MESSAGES, *place)
    cache = await _following_memberships(context, ports.log, ports.memberships, required=True)
    active_channels = await context.enter(noting_active_channels(ports.client_state, context.process.fail))
    bound = await context.serve(gateway_app(_gateway(context, ports, cache, active_channels)))
    log.info("serves REST", url=f"http://{bound}")


async def _known_places(ports: GatewayPorts) -> list[LogPlace]:
    """The newest events that the readers of MESSAGES have handled, by what they keep in stores of their own."""
    places = [await ports.messages.newest_place()]
    with suppress(Unavailable):  # the gateway serves without unread counts, too
        places.append(await ports.unread.place())
    return [place for place in places if place is not None and place.stored_ns]


def _gateway(
    context: ServiceContext, ports: GatewayPorts, cache: MembershipCache, active_channels: ActiveChannels
) -> Gateway:
    settings = context.settings
    return Gateway(
        calls=table(
            CommandService(
                ports.log, ports.memberships, cache, ports.messages, ports.followers, note_use=active_channels.note
            ),
            QueryService(ports.log, cache, ports.messages, ports.leases),
            unread_queries(ports.log, ports.memberships, ports.messages, ports.unread),
            receipt_queries(ports.log, ports.memberships, cache, ports.messages, ports.receipts),
            DraftCommands(cache, ports.drafts, UserSync(ports.bus)),
            DeviceCommands(ports.devices, ports.bus),
        ),
        authenticator=ports.authenticator,
        limiter=RateLimiter(settings.rate_limit, settings.rate_burst),
        health=context.health,
        registry=context.registry,
        max_body=settings.max_body,
        origins=settings.cors_origins,
    )


EVERY_SERVICE: Final[Services] = (
    Service(
        name="message-writer",
        help="writes the messages of the log to the message store, and counts what is unread",
        ports=MessageWriterPorts,
        start=_start_message_writer,
        degraded_without=(UnreadCounts,),  # messages are written without it
    ),
    Service(
        name="receipt-writer",
        help="writes the read receipts of the log to the receipt store",
        ports=ReceiptWriterPorts,
        start=_start_receipt_writer,
    ),
    Service(
        name="fanout",
        help="finds the instances that each event goes to",
        ports=FanOutPorts,
        start=_start_fan_out,
        checks=(SNAPSHOT,),
    ),
    Service(
        name="notification",
        help="holds the WebSockets of clients",
        ports=InstancePorts,
        start=_start_notification,
        degraded_without=(Messages, UnreadCounts, Drafts, ClientState),  # clients get their messages without them
        checks=(WS_LISTEN,),
    ),
    Service(
        name="gateway",
        help="serves the REST API",
        ports=GatewayPorts,
        start=_start_gateway,
        degraded_without=(Leases, UnreadCounts, Drafts, ClientState),  # few calls need them
        serves_rest=True,
    ),
)
"""In the order in which `fanout up` starts them. They stop in the reverse order: first no new work is taken, then the
sockets are closed, and then the work in hand is finished."""

SERVICES: Final[Mapping[str, Service[Any]]] = {service.name: service for service in EVERY_SERVICE}
"""By name."""
