"""Changes of memberships that the log lost are published again from the store."""

from fanout.events import decode_member_event
from fanout.log_record import REPUBLISHED_S
from fanout.ports.log import Reset
from fanout.ports.memberships import Channel
from fanout.streams import MESSAGES, META
from fanout.subjects import channel_of
from services.command.membership_publisher import MembershipPublisher
from services.command.republishing import MARGIN_S, Republisher
from services.runtime.tasks import Tasks
from tests.support.faulty import faulty_log, faulty_memberships
from tests.support.observing import until

NOW_US = 1_000_000_000_000_000
GENERAL = Channel("general", "General", private=False, created_by="ann", created_at="t0")


class Clock:
    now = NOW_US

    def __call__(self) -> int:
        return self.now


async def _republished_after(
    reset: Reset, *, age_s: float, down_first: bool = False, missed: bool = False
) -> list[str]:
    """After the log has lost everything: the users, of one with an old and one with a new change, that it has again."""
    clock = Clock()
    failures: list[BaseException] = []
    async with (
        faulty_memberships(clock) as store,
        faulty_log() as log,
        faulty_log() as lost,
        Tasks(failures.append) as tasks,
    ):
        clock.now = NOW_US - int(age_s * 1e6)
        await store.create(GENERAL, ["old"], published=True)
        clock.now = NOW_US
        await MembershipPublisher(log, store, clock).publish(await store.add("general", ["new"], "t1"))
        lost.fail_after = 0 if down_first else None
        republisher = Republisher(lost, MembershipPublisher(lost, store, clock), tasks)
        if missed:
            lost.outcomes["missed_reset"] = reset
            republisher.begin()
        else:
            republisher.hear(reset)
        if reset.stream == META:
            await until(lambda: not tasks._tasks, "published again")
        assert not failures
        return [decode_member_event(each.payload, channel_of(each.subject)).user_id for each in await lost.stored(META)]


async def test_what_is_newer_than_the_newest_survivor_is_republished() -> None:
    survivor = Reset(META, (NOW_US - 30_000_000) * 1_000)
    assert await _republished_after(survivor, age_s=30 + 2 * MARGIN_S) == ["new"]
    assert await _republished_after(survivor, age_s=30 + MARGIN_S / 2) == ["old", "new"]


async def test_no_more_than_an_hour_is_republished() -> None:
    assert await _republished_after(Reset(META, 0), age_s=REPUBLISHED_S + 2 * MARGIN_S) == ["new"]


async def test_a_log_that_is_away_meanwhile_is_waited_for() -> None:
    assert await _republished_after(Reset(META, 0), age_s=10, down_first=True) == ["old", "new"]


async def test_what_was_lost_before_a_gateway_began_is_republished() -> None:
    assert await _republished_after(Reset(META, 0), age_s=10, missed=True) == ["old", "new"]
    assert await _republished_after(Reset(META, 0), age_s=10, missed=True, down_first=True) == ["old", "new"]


async def test_lost_messages_concern_no_membership() -> None:
    assert await _republished_after(Reset(MESSAGES, 0), age_s=10) == []
