"""Admission: from an open socket to a session that gets everything posted after its `auth.ok`."""

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec
import structlog

from fanout import Unavailable
from fanout.ids import check_device_id
from fanout.ports.authenticator import Authenticator, Identity, TokenRefused
from fanout.ports.bus import Bus
from fanout.ports.memberships import Memberships
from fanout.ports.presence import Connections
from fanout.ports.socket import Socket
from fanout.subjects import instance_control
from fanout.workers import Replaced
from services.notification.capacity import Capacity, crowded
from services.notification.client_frames.auth import Auth
from services.notification.client_frames.concerns import CLIENT_FRAMES
from services.notification.client_frames.handlers import BadFrame, MalformedFrame
from services.notification.close_codes import MALFORMED, REPLACED, UNAUTHENTICATED, Refused, not_now
from services.notification.inbox import Inbox
from services.notification.registry import Registry
from services.notification.routing_barrier import RoutingBarrier
from services.notification.server_frames import server_frame
from services.notification.session import Session
from services.notification.subscribing import subscribe
from services.runtime.bearer import bearer
from services.runtime.keyed_lock import KeyedLock

log = structlog.get_logger(__name__)

_AT_ONCE: Final = 0.0
"""By the clock of the event loop, a time that is long past."""


@dataclass(frozen=True)
class InstanceLimits:
    """What an instance grants its clients."""

    instance_id: str
    capacity: int
    auth_timeout_s: float
    heartbeat_s: float
    socket_budget: int
    max_unauthenticated: int = 1_000
    max_user_sockets: int = 32


class Admission:
    """Admits clients and lets them go, with the transitions of one user in order."""

    def __init__(
        self,
        terms: InstanceLimits,
        registry: Registry,
        inbox: Inbox,
        confirmations: RoutingBarrier,
        *,
        authenticator: Authenticator,
        connections: Connections,
        memberships: Memberships,
        bus: Bus,
    ) -> None:
        self._terms = terms
        self._registry = registry
        self._inbox = inbox
        self._routing_barrier = confirmations
        self._authenticator = authenticator
        self._connections = connections
        self._memberships = memberships
        self._bus = bus
        self._turn = KeyedLock()  # one transition of a user at a time
        self._first_user = asyncio.Lock()
        self._capacity = Capacity(
            registry,
            sockets=terms.capacity,
            unauthenticated=terms.max_unauthenticated,
            of_one_user=terms.max_user_sockets,
        )

    async def admit(self, socket: Socket) -> Session:
        """Authenticate a client, make its user known, and open its session.

        Raises:
            Refused: it is to be closed, with the code that says why.
            SocketClosed: it went away meanwhile.
        """
        with self._capacity.unauthenticated():
            auth = await self._first_frame(socket)
            session = self._session(socket, auth, await self._identify(socket, auth))
        with self._capacity.enter(session.user_id, session.device_id) as place:
            try:
                await self._introduce(session, place)
            except Unavailable as error:
                log.warning("client cannot be admitted now", reason=str(error))
                raise not_now("a store is away", "store") from error
        return session

    async def dismiss(self, session: Session) -> None:
        """Forget a session, and its user if it was the last one here. Twice is once."""
        self._registry.silence(session)
        async with self._turn(session.user_id):
            await self._depart(session)

    async def _depart(self, session: Session) -> None:
        if session not in self._registry.sessions_of(session.user_id):
            return
        await self._registry.remove(session)
        last = not self._registry.sessions_of(session.user_id)
        try:
            await self._connections.disconnect(session.connection(), last=last)
            if last:
                await self._routing_barrier.announce_departure(session.user_id)
        except Unavailable as error:
            # Its keys end by themselves, and the next digest tells the workers.
            log.warning("departure not recorded", user_id=session.user_id, reason=str(error))

    async def _first_frame(self, socket: Socket) -> Auth:
        limit = asyncio.timeout(self._terms.auth_timeout_s)
        try:
            async with limit:
                with self._capacity.silent(partial(_end, limit)):
                    frame = CLIENT_FRAMES.decode(await socket.receive())
        except TimeoutError as error:
            if limit.when() == _AT_ONCE:
                raise crowded() from error
            raise Refused(UNAUTHENTICATED, "no auth frame in time", "token") from error
        except (MalformedFrame, BadFrame) as error:
            raise Refused(MALFORMED, f"the first frame must be auth: {error}", "malformed") from error
        if not isinstance(frame, Auth):
            raise Refused(UNAUTHENTICATED, "the first frame must be auth", "token")
        return frame

    async def _identify(self, socket: Socket, auth: Auth) -> Identity:
        try:
            return await self._authenticator.verify(auth.token or bearer(socket.authorization))
        except TokenRefused as error:
            log.info("token refused", code=error.code)
            raise Refused(UNAUTHENTICATED, f"{error.code}: {error}", "token") from error
        except Unavailable as error:
            raise not_now("tokens cannot be verified now", "store") from error

    def _session(self, socket: Socket, auth: Auth, identity: Identity) -> Session:
        return Session(
            socket=socket,
            identity=identity,
            device_id=check_device_id(auth.device_id),
            instance_id=self._terms.instance_id,
            budget=self._terms.socket_budget,
        )

    async def _introduce(self, session: Session, place: ExitStack) -> None:
        # Presence first, then the workers' word that they route here, then memberships: so neither misses a change
        # that the other has seen, and all that is posted after `auth.ok` arrives.
        async with self._turn(session.user_id):
            try:
                await self._make_known(session, place)
            except BaseException:
                # In the same turn: the user's next connection must not take this one for a sign that all is done.
                await self._depart(session)
                raise
        try:
            await subscribe(session, self._registry, self._inbox, self._memberships)
        except BaseException:
            await self.dismiss(session)
            raise
        welcome = server_frame(
            "auth.ok",
            user_id=session.user_id,
            session_id=session.session_id,
            device_id=session.device_id,
            heartbeat_s=self._terms.heartbeat_s,
        )
        session.socket.allow_large_messages()
        self._registry.write_queue.open(session, welcome)

    async def _make_known(self, session: Session, place: ExitStack) -> None:
        others = self._registry.sessions_of(session.user_id)
        for other in others:
            if other.device_id == session.device_id:
                other.end(REPLACED, "the device has connected again")
        await self._join_registry(session, place)
        previous = await self._connections.connect(session.connection())
        if previous is not None and previous != session.instance_id:
            await self._replace_elsewhere(previous, session)
        if not others:
            await self._routing_barrier.announce_until_placed(session.user_id)

    async def _join_registry(self, session: Session, place: ExitStack) -> None:
        async with self._first_user:
            if not len(self._registry):
                await self._inbox.rebase()
            self._registry.add(session)
            place.close()

    async def _replace_elsewhere(self, instance_id: str, session: Session) -> None:
        notice = Replaced(session.user_id, session.device_id, session.connected_at)
        await self._bus.publish(instance_control(instance_id), msgspec.json.encode(notice))


def _end(limit: asyncio.Timeout) -> None:
    """End the time that a client has."""
    if not limit.expired():
        limit.reschedule(_AT_ONCE)
