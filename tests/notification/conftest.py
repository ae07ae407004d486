from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.harness import Harness, running_harness


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    """A harness with one worker, which reads every partition."""
    async with running_harness(tmp_path) as built:
        await built.add_worker("worker-1")
        await built.settle_partitions()
        yield built
