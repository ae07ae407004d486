"""Stores in files of the data directory."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fanout.errors import ForeignStore, Unavailable
from fanout.ports.log import Log
from fanout.ports.messages import Messages
from services.composition.backends import Backends
from services.composition.data_files import LOG_FILE, MESSAGES_FILE, existing_sqlite_id
from services.composition.deployment_id import deployment_of, existing_id
from services.composition.table import BACKENDS
from services.runtime.health import Health
from services.runtime.settings import load_settings


def backends_in(folder: Path, stack: AsyncExitStack) -> Backends:
    return Backends(BACKENDS, load_settings(data_dir=folder), Health(), stack, alone=True)


async def test_each_store_carries_the_deployments_id(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        backends = backends_in(tmp_path / "data", stack)
        await backends.open(Messages)
        own = await (await deployment_of(backends)).existing_id()
    (tmp_path / "other").mkdir()
    (tmp_path / "data" / MESSAGES_FILE).rename(tmp_path / "other" / MESSAGES_FILE)
    async with AsyncExitStack() as stack:
        with pytest.raises(ForeignStore, match=str(own)):
            await backends_in(tmp_path / "other", stack).open(Messages)


async def test_the_id_is_read_and_nothing_is_made(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        assert await existing_id(backends_in(tmp_path / "data", stack)) is None
        assert not (tmp_path / "data").exists()
        backends = backends_in(tmp_path / "data", stack)
        await backends.open(Log)
        assert await existing_sqlite_id(backends) == await (await deployment_of(backends)).existing_id()


async def test_a_second_process_is_told_to_stop_the_first(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        await backends_in(tmp_path, stack).open(Log)
        second = backends_in(tmp_path, stack)
        with pytest.raises(Unavailable, match="stop the other `fanout up`"):
            await second.open(Log)
        with pytest.raises(Unavailable, match="no gateway answers at FANOUT_LISTEN"):
            await second.chosen(Log).look(second)
    assert (tmp_path / LOG_FILE).exists()


async def test_looking_at_a_store_makes_nothing(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        backends = backends_in(tmp_path / "data", stack)
        assert "is created at the first start" in (await backends.chosen(Messages).look(backends)).good
        assert not (tmp_path / "data").exists()
        await backends.open(Messages)
        assert "embedded in" in (await backends.chosen(Messages).look(backends)).good
