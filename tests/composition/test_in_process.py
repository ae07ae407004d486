"""The bus and presence inside one process."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from fanout.ports.bus import Bus
from fanout.ports.presence import Lease, Leases
from services.composition.backends import Backends
from services.composition.table import BACKENDS
from services.runtime.health import Health
from services.runtime.settings import load_settings


async def test_services_of_one_process_share_them_and_nothing_is_written(tmp_path: Path) -> None:
    heard = asyncio.Event()
    async with AsyncExitStack() as stack:
        backends = Backends(BACKENDS, load_settings(data_dir=tmp_path / "data"), Health(), stack, alone=True)
        await (await backends.open(Bus)).subscribe("news", lambda *_: heard.set())
        await (await backends.open(Bus)).publish("news", b"{}")
        await heard.wait()
        await (await backends.open(Leases)).lease(Lease("i1", "a", "ws://x", "t", 0, 1))
        assert set(await (await backends.open(Leases)).leases()) == {"i1"}
        for port in (Bus, Leases):
            assert (await backends.chosen(port).look(backends)).weak == ()
    assert not (tmp_path / "data").exists()
