"""Admission: makes an open socket a session that gets every message posted after its `auth.ok`, and ends sessions."""

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass

import structlog

from fanout import Unavailable
from fanout.error_codes import CloseCode
from fanout.ports.authenticator import Authenticator, Identity
from fanout.ports.socket import Socket, SocketClosed
from services.notification.authentication import Authentication
from services.notification.capacity import Capacity
from services.notification.catch_up.catch_ups import CatchUps, Start
from services.notification.client_frames.auth import Auth
from services.notification.connection_records import ConnectionRecords
from services.notification.device_sessions import DeviceSessions
from services.notification.reconnecting import reconnect_within_ms
from services.notification.refusals import not_now
from services.notification.registry import Registry
from services.notification.server_frames import server_frame
from services.notification.session import REPLACED, Session
from services.notification.session_channels import SessionChannels
from services.notification.user_routing import UserRouting
from services.runtime.keyed_lock import KeyedLock

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class InstanceLimits:
    """The id of an instance, and what it grants its clients."""

    instance_id: str
    capacity: int
    """Sessions that it holds."""
    auth_timeout_s: float
    """Seconds that a client has to authenticate."""
    heartbeat_s: float
    """How often clients are asked to send a heartbeat, in seconds."""
    socket_budget: int
    """Bytes that may wait for one socket."""
    max_unauthenticated: int = 1_000
    """Clients that may be unauthenticated at a time."""
    max_user_sockets: int = 32
    """Sessions that one user may have."""


class Admission:
    """Opens and closes sessions. Changes of one user's presence are made one after the other."""

    def __init__(
        self,
        limits: InstanceLimits,
        registry: Registry,
        user_routing: UserRouting,
        session_channels: SessionChannels,
        catch_ups: CatchUps,
        *,
        authenticator: Authenticator,
        records: ConnectionRecords,
        device_sessions: DeviceSessions,
    ) -> None:
        self._limits = limits
        self._registry = registry
        self._user_routing = user_routing
        self._session_channels = session_channels
        self._catch_ups = catch_ups
        self._records = records
        self._device_sessions = device_sessions
        self._user_lock = KeyedLock()
        self._first_user = asyncio.Lock()
        self._capacity = Capacity(
            registry,
            sockets=limits.capacity,
            unauthenticated=limits.max_unauthenticated,
            of_one_user=limits.max_user_sockets,
        )
        self._authentication = Authentication(authenticator, self._capacity, timeout_s=limits.auth_timeout_s)

    async def admit(self, socket: Socket) -> Session:
        """Authenticate a client, and open its session. The caller passes the session to `dismiss` later.

        Raises:
            Refused: the connection must be closed, with the code that the error carries.
            SocketClosed: the client has gone.
        """
        auth, identity = await self._authentication.authenticate(socket)
        session = self._session(socket, auth, identity)
        with self._capacity.enter(session.user_id, session.device_id) as place:
            try:
                await self._open(session, place)
            except Unavailable as error:
                log.warning("client cannot be admitted now", reason=str(error))
                raise not_now("a store is away", "store") from error
        return session

    def _session(self, socket: Socket, auth: Auth, identity: Identity) -> Session:
        return Session(
            socket,
            identity,
            auth.device_id,
            self._limits.instance_id,
            self._limits.socket_budget,
            client_state=auth.state,
            focused_channel=auth.focused_channel,
            absence=auth.absence(),
        )

    async def dismiss(self, session: Session) -> None:
        """Remove a session, and its user's presence here if it was the last one. A second call does nothing."""
        self._registry.silence(session)
        async with self._user_lock(session.user_id):
            await self._remove(session)

    async def _open(self, session: Session, place: ExitStack) -> None:
        # In this order: presence, the routing barrier, memberships, the end of the log. The barrier and the memberships
        # are then read after the user is known to be here, so no change of either is missed. Then the workers know each
        # membership that was loaded, so every message comes that the log stores after the end that is asked for last.
        async with self._user_lock(session.user_id):
            try:
                await self._record_presence(session, place)
            except BaseException:
                # Before the lock is released: otherwise the user's next connection would find this session, and
                # would not wait for the routing barrier.
                await self._remove(session)
                raise
        try:
            await self._session_channels.load(session)
            start = await self._catch_ups.begin(session)
        except BaseException:
            await self.dismiss(session)
            raise
        self._welcome(session, start)

    async def _record_presence(self, session: Session, place: ExitStack) -> None:
        if session.socket.is_closed:  # while it waited for the lock; the device may be connected elsewhere by now
            raise SocketClosed
        await self._device_sessions.enter(session)
        others = self._registry.sessions_of(session.user_id)
        for other in others:
            if other.device_id == session.device_id:
                other.end(CloseCode.REPLACED, REPLACED)
        await self._add_to_registry(session, place)
        await self._records.connect(session)
        if not others:
            await self._user_routing.announce_arrival(session)
        if session.socket.is_closed:
            raise SocketClosed

    async def _add_to_registry(self, session: Session, place: ExitStack) -> None:
        async with self._first_user:
            if not len(self._registry):
                await self._user_routing.rebase()
            self._registry.add(session)
            self._catch_ups.enter(session)
            place.close()

    def _welcome(self, session: Session, start: Start) -> None:
        session.socket.allow_large_messages()
        auth_ok = server_frame(
            "auth.ok",
            user_id=session.user_id,
            session_id=session.session_id,
            device_id=session.device_id,
            heartbeat_s=self._limits.heartbeat_s,
            seq=start.point.seq,
            parts={str(part): seq for part, seq in start.point.parts.items()},
            log=start.log,
            reconnect_after_ms=reconnect_within_ms(len(self._registry)),
        )
        self._catch_ups.open(session, auth_ok)

    async def _remove(self, session: Session) -> None:
        self._device_sessions.leave(session)
        if session not in self._registry.sessions_of(session.user_id):
            return
        last = self._registry.sessions_of(session.user_id) == [session]
        if last:
            await self._user_routing.forget(session.user_id)  # first: it may be about to subscribe the session again
        await self._registry.remove(session)
        if last:
            await self._user_routing.announce_departure(session.user_id)
        await self._records.disconnect(session, last=last)
