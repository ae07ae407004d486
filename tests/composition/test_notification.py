"""A notification instance with its WebSocket server."""

from contextlib import AsyncExitStack
from functools import partial
from typing import Any, cast

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from fanout.error_codes import CloseCode
from services.composition.backends import Backends
from services.composition.notification import running_notification, serving_sockets
from services.composition.table import BACKENDS
from services.notification.instance import NotificationPorts
from services.runtime.health import Health
from services.runtime.settings import load_settings


async def test_it_is_found_while_it_serves_and_sends_clients_away_when_it_stops() -> None:
    failures: list[BaseException] = []
    async with AsyncExitStack() as stack:
        settings, health = load_settings(), Health()
        backends = Backends(BACKENDS, settings, health, stack, alone=True)
        ports = await backends.open_all(NotificationPorts)
        async with running_notification(
            settings, ports, cast("Any", None), health, failures.append, partial(serving_sockets, settings)
        ) as bound:
            (lease,) = (await ports.leases.leases()).values()
            assert lease.address == settings.public_ws_url(bound)
            checks = (await health.report()).checks
            assert (checks["lease"], checks["routing"]) == ("ok", "ok")
            client = await stack.enter_async_context(connect(lease.address))
        assert await ports.leases.leases() == {}
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == CloseCode.DRAINING
    assert not failures
