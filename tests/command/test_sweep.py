"""While the sweep runs, every change of a membership reaches the log."""

from fanout.events import decode_member_event
from fanout.ports.memberships import Channel
from fanout.streams import META
from fanout.subjects import channel_of
from services.adapters.embedded.log import EmbeddedLog
from services.adapters.sqlite.memberships import SqliteMemberships
from services.command.sweep import running_sweep
from tests.support.reading import until


async def test_a_change_that_no_call_has_published_is_published() -> None:
    log, memberships = await EmbeddedLog.open(None), await SqliteMemberships.open(None)
    failures: list[BaseException] = []
    await memberships.create(Channel("general", "General", private=False, created_by="ann", created_at="t0"), ["ann"])

    async def nothing_is_unpublished() -> bool | None:
        return await memberships.count_unpublished() == 0 or None

    try:
        async with running_sweep(log, memberships, failures.append):
            await until(nothing_is_unpublished)
        published = await log.get(META, 1)
        assert published is not None
        assert decode_member_event(published.payload, channel_of(published.subject)).user_id == "ann"
        assert not failures
    finally:
        await log.close()
        await memberships.close()
