from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.platform import Platform, platform


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Platform]:
    """A platform with one worker, which reads every partition."""
    async with platform(tmp_path) as built:
        await built.add_worker("worker-1")
        await built.settle_partitions()
        yield built
