"""Leases in Redis, as a process opens it and `fanout check` looks at it."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fanout.ports.presence import Leases
from services.composition.backends import Backends
from services.composition.table import BACKENDS
from services.runtime.health import Health
from services.runtime.settings import ConfigurationError, load_settings


@pytest.mark.parametrize("rest", ["?colour=blue", "?db=three"])
async def test_options_that_redis_does_not_know_are_a_configuration_error(rest: str, tmp_path: Path) -> None:
    settings = load_settings(redis_url=f"redis://:hunter2@127.0.0.1:6379/{rest}", data_dir=tmp_path)
    async with AsyncExitStack() as stack:
        backends = Backends(BACKENDS, settings, Health(), stack, alone=True)
        with pytest.raises(ConfigurationError, match="FANOUT_REDIS_URL") as caught:
            await backends.open(Leases)
        with pytest.raises(ConfigurationError, match="FANOUT_REDIS_URL"):
            await backends.chosen(Leases).look(backends)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
