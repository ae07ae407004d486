"""A tally is kept and found again."""

from collections.abc import AsyncIterator

import pytest

from fanout.ports.records import Position
from services.adapters.sqlite.memberships import SqliteMemberships
from services.importing.tally import Tally, keep_tally, kept_tally


@pytest.fixture
async def store() -> AsyncIterator[SqliteMemberships]:
    opened = await SqliteMemberships.open(None)
    yield opened
    await opened.close()


async def test_what_is_kept_is_found(store: SqliteMemberships) -> None:
    tally = Tally(lines=7, offset=99, new=4, present=1, skipped=1, blank=1, finished=True)
    assert await kept_tally(store.imports, "one") is None
    await keep_tally(store.imports, "one", tally)
    assert await kept_tally(store.imports, "one") == tally
    assert tally.position == Position(7, 99)


@pytest.mark.parametrize("text", ["", "{", '{"schema":99,"tally":{}}', '{"lines":7}'])
async def test_what_another_version_kept_is_not_used(store: SqliteMemberships, text: str) -> None:
    await store.imports.keep_progress("one", text)
    assert await kept_tally(store.imports, "one") is None
