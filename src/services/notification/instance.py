"""A notification instance: it holds the sockets of clients, and writes the events of its inbox to them."""

import asyncio
from dataclasses import dataclass

import structlog

from fanout.error_codes import CloseCode
from fanout.ids import new_ulid
from fanout.ports.authenticator import Authenticator
from fanout.ports.bus import Bus
from fanout.ports.commands import ClientCommands
from fanout.ports.devices import Devices
from fanout.ports.log import Log
from fanout.ports.memberships import Memberships
from fanout.ports.presence import Aggregates, Connections, Leases
from fanout.ports.socket import Socket, SocketClosed
from services.notification.admission import Admission, InstanceLimits
from services.notification.catch_up.catch_ups import CatchUps
from services.notification.channel_lists import ChannelLists
from services.notification.client_frames.concerns import CLIENT_FRAMES
from services.notification.client_frames.handlers import BadFrame, FrameContext, MalformedFrame
from services.notification.connection_records import ConnectionRecords
from services.notification.control import Control
from services.notification.device_sessions import DeviceSessions
from services.notification.housekeeping import Housekeeping
from services.notification.inbox import Inbox
from services.notification.lease_keeper import LeaseKeeper
from services.notification.log_resets import LogResets
from services.notification.metrics import CONNECTIONS_REFUSED, FRAMES_REFUSED
from services.notification.presence_publisher import PresencePublisher
from services.notification.presence_sweep import PresenceSweep
from services.notification.refusals import Refused
from services.notification.registry import Registry
from services.notification.routing_barrier import RoutingBarrier
from services.notification.session import Ending, Session
from services.notification.session_channels import SessionChannels
from services.notification.user_events import UserEvents
from services.notification.user_routing import UserRouting
from services.runtime.membership_order import MembershipOrder
from services.runtime.tasks import Tasks, retry_forever

log = structlog.get_logger(__name__)

LONGEST_PAUSE_S = 0.05
"""The longest pause between two sockets that are closed while the instance drains."""
LINGERS_S = 10.0
"""Seconds in which the sockets of a stopping instance are closed, beside the time over which that is spread."""
STOPPING = "the instance is stopping; reconnect with jitter"


@dataclass(frozen=True)
class NotificationPorts:
    """The ports of an instance."""

    log: Log
    bus: Bus
    connections: Connections
    leases: Leases
    aggregates: Aggregates
    memberships: Memberships
    devices: Devices
    authenticator: Authenticator


class NotificationInstance:
    """The parts of an instance, put together.

    Args:
        limits: its id, and what it grants clients.
        ports: what it is connected to.
        commands: handles the commands of clients.
        tasks: run its background work.
        heartbeat_timeout_s: seconds after which a client that has sent no frame is disconnected.
    """

    def __init__(
        self,
        limits: InstanceLimits,
        ports: NotificationPorts,
        commands: ClientCommands,
        tasks: Tasks,
        *,
        heartbeat_timeout_s: float,
    ) -> None:
        instance_id, incarnation = limits.instance_id, new_ulid()
        self.registry = Registry()
        self._ports = ports
        self._instance_id = instance_id
        self._tasks = tasks
        order = MembershipOrder(ports.memberships)
        self._inbox = Inbox(instance_id, ports.bus, ports.log, self.registry, order, UserEvents(self.registry))
        self._routing_barrier = RoutingBarrier(instance_id, incarnation, ports.bus)
        self._channel_lists = ChannelLists(instance_id, ports.bus, self._routing_barrier)
        self._device_sessions = DeviceSessions(ports.devices, ports.bus)
        self._control = Control(
            instance_id,
            incarnation,
            ports.bus,
            self.registry,
            self._routing_barrier,
            self._channel_lists,
            self._device_sessions,
            tasks,
        )
        presence_publisher = PresencePublisher(ports.bus)
        connection_records = ConnectionRecords(
            incarnation, ports.connections, self.registry, presence_publisher, ports.bus
        )
        self._lease_keeper = LeaseKeeper(
            instance_id,
            incarnation,
            self.registry,
            ports.leases,
            capacity=limits.capacity,
            on_taken=connection_records.renew_all,
        )
        self._housekeeping = Housekeeping(
            self.registry,
            self._control,
            self._lease_keeper,
            connection_records,
            self._device_sessions,
            presence_publisher,
            PresenceSweep(ports.aggregates, presence_publisher),
            heartbeat_timeout_s=heartbeat_timeout_s,
        )
        self._user_routing = UserRouting(
            self.registry, self._inbox, self._routing_barrier, ports.memberships, ports.log, tasks
        )
        self._catch_ups = CatchUps(self.registry, self._inbox, self._user_routing, ports.log, tasks)
        self._admission = Admission(
            limits,
            self.registry,
            self._user_routing,
            SessionChannels(self.registry, self._inbox, self._user_routing, self._channel_lists, ports.memberships),
            self._catch_ups,
            authenticator=ports.authenticator,
            records=connection_records,
            device_sessions=self._device_sessions,
        )
        self._log_resets = LogResets(self.registry, ports.memberships, self._inbox, tasks)
        self._frame_context = FrameContext(self.registry, self._user_routing, self._housekeeping, ports.bus, commands)
        self._accepting = False
        self._entering: dict[Socket, None] = {}  # a set that keeps its order

    async def start(self, address: str) -> None:
        """Start everything. The lease is taken last, so that clients come when all else runs.

        Args:
            address: the WebSocket address that clients are sent to.
        """
        self._lease_keeper.address = address
        await self._inbox.listen()
        await self._control.listen()
        await self._routing_barrier.listen()
        self._ports.log.on_reset(self._channel_lists.hear_reset)
        self._ports.log.on_reset(self._log_resets.hear)
        self._catch_ups.start()
        self._tasks.start(self._inbox.run(), "inbox")
        await retry_forever(self._lease_keeper.renew, "taking the lease")
        self._housekeeping.start(self._tasks)
        self._accepting = True

    async def drain(self, spread_s: float = 0.0) -> None:
        """Accept no new clients, release the lease, and ask the clients that are here to reconnect elsewhere.

        Args:
            spread_s: the seconds over which their sockets are closed, so that they do not all reconnect at once. With
                few sockets it takes less.
        """
        self._accepting = False
        # First: clients that reconnect are sent to the instance with most room.
        await self._lease_keeper.end(spread_s + LINGERS_S)
        for socket in list(self._entering):
            self._tasks.start(socket.close(CloseCode.DRAINING, STOPPING), "closing a socket")
        await self._send_away(spread_s)
        await self.registry.empty.wait()
        await self._device_sessions.record_last()

    async def _send_away(self, spread_s: float) -> None:
        sessions = self.registry.sessions()
        pause = min(spread_s / max(len(sessions), 1), LONGEST_PAUSE_S)
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for number, session in enumerate(sessions):
            if (ahead := begin + number * pause - loop.time()) > 0:
                await asyncio.sleep(ahead)
            session.end(CloseCode.DRAINING, STOPPING)
        await self._control.say_stopped()

    async def check_lease(self) -> None:
        """See `LeaseKeeper.check`."""
        await self._lease_keeper.check()

    async def check_routing(self) -> None:
        """See `UserRouting.check`."""
        await self._user_routing.check()

    async def serve(self, socket: Socket) -> None:
        """Serve one client until the connection ends."""
        if not self._accepting:
            await socket.close(CloseCode.DRAINING, "the instance is starting or stopping; reconnect with jitter")
            return
        session = await self._admit(socket)
        if session is not None:
            await self._attend(session)

    async def _admit(self, socket: Socket) -> Session | None:
        self._entering[socket] = None
        try:
            return await self._admission.admit(socket)
        except Refused as refusal:
            CONNECTIONS_REFUSED.labels(refusal.cause).inc()
            log.info("client refused", code=int(refusal.code), reason=str(refusal))
            await socket.close(refusal.code, str(refusal))
        except SocketClosed:
            pass  # it has gone before its session was open
        finally:
            self._entering.pop(socket, None)
        return None

    async def _attend(self, session: Session) -> None:
        log.debug("session opened", user_id=session.user_id, session_id=session.session_id)
        session.when_ended(self._close)
        try:
            async with self._catch_ups.beside(session):
                await self._read(session)
        finally:
            await self._admission.dismiss(session)

    def _close(self, session: Session, ending: Ending) -> None:
        self.registry.silence(session)
        self.registry.write_queue.flush(session)
        self._tasks.start(session.socket.close(ending.code, ending.reason), "closing a socket")

    async def _read(self, session: Session) -> None:
        while True:
            await asyncio.sleep(session.pace())
            try:
                frame = await session.socket.receive()
                if session.ending is not None:
                    return  # it gets no more events, so a heartbeat that is answered now would say too much
                await CLIENT_FRAMES.handle(self._frame_context, session, frame)
            except BadFrame as error:
                FRAMES_REFUSED.labels(error.code).inc()
                self.registry.write_queue.answer(session, error.answer())
            except MalformedFrame as error:
                session.end(CloseCode.MALFORMED, str(error))
            except SocketClosed:
                return
