import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout.membership_versions import CLOCK_SKEW_US, Age, MembershipVersions

START = 1_000_000_000
NOW = START + 10 * CLOCK_SKEW_US
FRESH = NOW - CLOCK_SKEW_US
"""A version that nothing from before the start can be newer than."""


@pytest.fixture
def versions() -> MembershipVersions:
    return MembershipVersions(START, capacity=3)


def age(versions: MembershipVersions, version: int, user: str = "ann", channel: str = "c") -> Age:
    return versions.age(user, channel, version, NOW)


def test_a_fresh_change_is_the_newest(versions: MembershipVersions) -> None:
    assert age(versions, FRESH) is Age.NEWEST


def test_a_change_that_was_seen_orders_the_others_of_its_user_and_channel(versions: MembershipVersions) -> None:
    versions.seen("ann", "c", FRESH)
    assert age(versions, FRESH - 1) is Age.OLDER
    assert age(versions, FRESH) is Age.NEWEST, "the same change told again"
    assert age(versions, FRESH + 1) is Age.NEWEST
    assert age(versions, FRESH - 1, channel="d") is Age.NEWEST
    assert age(versions, FRESH - 1, user="ben") is Age.NEWEST


def test_an_older_change_that_was_seen_later_orders_nothing(versions: MembershipVersions) -> None:
    versions.seen("ann", "c", FRESH)
    versions.seen("ann", "c", FRESH - 5)
    assert age(versions, FRESH - 1) is Age.OLDER


def test_what_may_be_older_than_the_readers_start_is_unknown(versions: MembershipVersions) -> None:
    assert age(versions, START) is Age.UNKNOWN
    assert age(versions, START + CLOCK_SKEW_US) is Age.UNKNOWN, "clocks may differ"
    assert age(versions, START + CLOCK_SKEW_US + 1) is Age.NEWEST


def test_what_may_be_older_than_the_users_list_is_unknown(versions: MembershipVersions) -> None:
    versions.loaded("ann", FRESH)
    assert age(versions, FRESH + CLOCK_SKEW_US) is Age.UNKNOWN
    assert age(versions, FRESH, user="ben") is Age.NEWEST


def test_what_was_seen_before_the_list_was_loaded_does_not_vouch_for_what_comes_after(
    versions: MembershipVersions,
) -> None:
    versions.seen("ann", "c", FRESH - 2)
    versions.loaded("ann", FRESH - CLOCK_SKEW_US)
    assert age(versions, FRESH - 1) is Age.UNKNOWN
    assert age(versions, FRESH - 3) is Age.OLDER


def test_a_version_from_the_future_is_unknown(versions: MembershipVersions) -> None:
    assert age(versions, NOW + CLOCK_SKEW_US) is Age.NEWEST
    assert age(versions, NOW + CLOCK_SKEW_US + 1) is Age.UNKNOWN


@pytest.mark.parametrize("forget", ["seen", "loaded"])
def test_what_may_be_older_than_something_forgotten_is_unknown(versions: MembershipVersions, forget: str) -> None:
    if forget == "seen":
        versions.seen("ann", "c", FRESH)
    else:
        versions.loaded("ann", FRESH - CLOCK_SKEW_US)
    for number in range(3):
        versions.seen(f"user-{number}", "c", FRESH + 10)
        versions.loaded(f"user-{number}", START)
    assert age(versions, FRESH) is Age.UNKNOWN
    assert age(versions, FRESH + 1) is Age.NEWEST
    assert age(versions, FRESH + 5, user="user-0") is Age.OLDER


KEYS = st.sampled_from([(user, channel) for user in "ab" for channel in "xyz"])
STEPS = st.lists(
    st.tuples(st.sampled_from(["event", "loaded"]), KEYS, st.integers(0, 60 * CLOCK_SKEW_US // 10)), max_size=60
)


@given(STEPS, st.integers(1, 4))
def test_whatever_is_forgotten_no_older_change_is_taken_for_the_newest(
    steps: list[tuple[str, tuple[str, str], int]], capacity: int
) -> None:
    """Against a memory without a bound: what it calls older is older or unknown, and what is newest truly is."""
    versions, truth = MembershipVersions(START, capacity=capacity), dict[tuple[str, str], int]()
    lists: dict[str, int] = {}
    for kind, (user, channel), offset in steps:
        if kind == "loaded":
            versions.loaded(user, START + offset)
            lists[user] = START + offset
            continue
        version = START + offset
        judged = versions.age(user, channel, version, START + 10 * CLOCK_SKEW_US)
        newest = max(truth.get((user, channel), 0), lists.get(user, START))
        if judged is Age.NEWEST:
            assert version >= newest
        if judged is Age.OLDER:
            assert version < truth[user, channel]
        else:
            versions.seen(user, channel, version)
            truth[user, channel] = max(version, truth.get((user, channel), 0))
