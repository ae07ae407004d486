"""Presence over a link: a call that gets no answer."""

import pytest

from fanout.errors import OutcomeUnknown, Unavailable
from fanout.ports.presence import Leases
from tests.simulation.world import World
from tests.support.simulated import client_of, in_world


def test_a_call_that_may_have_been_done_is_unavailable_and_no_more_is_known() -> None:
    async def work(world: World) -> None:
        host, ports = client_of(world)
        (link,) = world.servers.network.links_of("redis", "client")
        link.stall()
        with pytest.raises(Unavailable) as raised:
            await host.start(ports[Leases].leases(), "calling")
        assert not isinstance(raised.value, OutcomeUnknown)

    in_world(work)
