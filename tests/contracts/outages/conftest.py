"""Each server of the log and the bus in turn."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.outage_worlds import LogWorld, nats_world, simulated_world
from tests.support.simulated_worlds import SIMULATED


@pytest.fixture(params=["nats", SIMULATED])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[LogWorld[Any]]:
    if request.param == SIMULATED:
        async with simulated_world() as simulated:
            yield simulated
        return
    async with nats_world(request.getfixturevalue("nats_server")) as real:
        yield real
