from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, Service


@pytest.fixture
async def readme_system(tmp_path: Path) -> AsyncIterator[Service]:
    """`fanout up` as a newcomer has it: no setting but the ports, the folder and a log that shows sessions."""
    cluster = Cluster(tmp_path, LOG_LEVEL="debug", JWT_SECRET="")
    try:
        yield await cluster.start("up", "up")
    finally:
        await cluster.kill()
