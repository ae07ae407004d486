import pytest

from tests.simulation.timeline import NEVER, Timeline
from tests.support.chronicle import PLAN, ROOM, Chronicle


def timeline(*changes: tuple[float, str, str, float | None] | tuple[float, str, str, float | None, int]) -> Timeline:
    """A timeline of changes: when, to what, whose, when it was answered, and the status."""
    chronicle = Chronicle()
    for change in changes:
        chronicle.asks(*change)
    return Timeline(PLAN, chronicle.history)


def test_a_first_member_was_one_from_the_beginning() -> None:
    assert timeline().first("ann", ROOM) == 0.0
    assert timeline().first("eve", ROOM) == NEVER
    assert timeline().first("ann", "elsewhere") == NEVER


def test_another_one_may_be_a_member_since_somebody_first_asked_for_it() -> None:
    assert timeline((5.0, "join", "eve", 6.0), (8.0, "join", "eve", 9.0)).first("eve", ROOM) == 5.0
    assert timeline((5.0, "join", "eve", None)).first("eve", ROOM) == 5.0
    assert timeline((5.0, "leave", "eve", 6.0)).first("eve", ROOM) == NEVER


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_call_that_was_refused_has_changed_nothing(status: int) -> None:
    assert timeline((5.0, "join", "eve", 6.0, status)).first("eve", ROOM) == NEVER
    assert timeline((5.0, "leave", "ann", 6.0, status)).until("ann", ROOM, 0.0) == NEVER


@pytest.mark.parametrize("status", [0, 409, 500, 503])
def test_a_call_that_failed_may_have_been_done_at_any_time(status: int) -> None:
    assert timeline((5.0, "join", "eve", 6.0, status)).first("eve", ROOM) == 5.0
    assert timeline((5.0, "join", "eve", 6.0, status)).since("eve", ROOM, 9.0, []) == NEVER
    assert timeline((5.0, "leave", "ann", 6.0, status)).left("ann", ROOM, before=9.0, at=9.0) == NEVER
    assert timeline((5.0, "leave", "ann", 6.0, status)).until("ann", ROOM, 9.0) == 5.0


def test_somebody_has_left_when_his_leave_was_answered() -> None:
    left = timeline((5.0, "leave", "ann", 6.0))
    assert left.left("ann", ROOM, before=7.0, at=9.0) == 6.0
    assert left.left("ann", ROOM, before=6.0, at=9.0) == NEVER
    assert left.left("bob", ROOM, before=7.0, at=9.0) == NEVER


def test_a_leave_without_an_answer_is_not_certain() -> None:
    assert timeline((5.0, "leave", "ann", None)).left("ann", ROOM, before=70.0, at=90.0) == NEVER


def test_somebody_who_may_have_come_back_has_not_surely_left() -> None:
    for answered in (9.0, None):
        back = timeline((5.0, "leave", "ann", 6.0), (8.0, "join", "ann", answered))
        assert back.left("ann", ROOM, before=7.0, at=8.5) == NEVER
        assert back.left("ann", ROOM, before=7.0, at=7.9) == 6.0


def test_the_newest_leave_counts() -> None:
    twice = timeline((1.0, "leave", "ann", 2.0), (3.0, "join", "ann", 4.0), (5.0, "leave", "ann", 6.0))
    assert twice.left("ann", ROOM, before=7.0, at=9.0) == 6.0


def test_a_member_is_to_get_everything_from_when_his_session_opened() -> None:
    assert timeline().since("ann", ROOM, 3.0, []) == 3.0
    assert timeline((1.0, "join", "eve", 2.0)).since("eve", ROOM, 3.0, []) == 3.0
    assert timeline((1.0, "leave", "ann", 1.5), (1.6, "join", "ann", 2.0)).since("ann", ROOM, 3.0, []) == 3.0


def test_somebody_who_is_no_member_is_to_get_nothing() -> None:
    assert timeline().since("eve", ROOM, 3.0, []) == NEVER
    assert timeline((1.0, "leave", "ann", 2.0)).since("ann", ROOM, 3.0, []) == NEVER
    assert timeline((1.0, "join", "eve", 1.5), (1.6, "leave", "eve", 2.0)).since("eve", ROOM, 3.0, []) == NEVER


def test_somebody_who_joins_is_to_get_everything_from_when_he_was_told() -> None:
    joined = timeline((4.0, "join", "eve", 5.0))
    assert joined.since("eve", ROOM, 3.0, [4.8]) == 4.8
    assert joined.since("eve", ROOM, 3.0, []) == NEVER


def test_who_joins_and_has_asked_to_leave_is_not_surely_a_member_when_he_is_told() -> None:
    assert timeline((4.0, "join", "eve", 5.0), (4.5, "leave", "eve", None)).since("eve", ROOM, 3.0, [4.8]) == NEVER


def test_a_change_that_is_under_way_when_a_session_opens_is_not_certain_unless_it_changes_nothing() -> None:
    assert timeline((2.0, "join", "eve", 4.0)).since("eve", ROOM, 3.0, []) == NEVER
    assert timeline((2.0, "leave", "ann", 4.0)).since("ann", ROOM, 3.0, []) == NEVER
    assert timeline((2.0, "join", "ann", 4.0)).since("ann", ROOM, 3.0, []) == 3.0


def test_of_two_changes_at_a_time_none_is_surely_the_newer_one() -> None:
    both = timeline((1.0, "leave", "ann", 1.3), (1.1, "join", "ann", 1.2))
    assert both.since("ann", ROOM, 3.0, []) == NEVER


def test_a_member_is_to_get_everything_until_somebody_asks_that_he_leaves() -> None:
    left = timeline((1.0, "leave", "ann", 2.0), (3.0, "join", "ann", 4.0), (6.0, "leave", "ann", 7.0))
    assert left.until("ann", ROOM, 5.0) == 6.0
    assert left.until("ann", ROOM, 8.0) == NEVER
    assert left.until("bob", ROOM, 0.0) == NEVER
    assert timeline((1.0, "leave", "ann", None)).until("ann", ROOM, 5.0) == 1.0


def test_an_invitation_changes_the_membership_of_the_guest() -> None:
    chronicle = Chronicle()
    chronicle.note(1.0, "asks", call=1, to="invite", user="ann", channel=ROOM, users=["eve"])
    chronicle.note(1.2, "answered", call=1, status=200, tries=1)
    invited = Timeline(PLAN, chronicle.history)
    assert invited.since("eve", ROOM, 3.0, []) == 3.0
    assert invited.first("eve", ROOM) == 1.0
    assert invited.first("zoe", ROOM) == NEVER


def test_who_is_removed_has_left() -> None:
    removed = timeline((5.0, "remove", "ann", 6.0))
    assert removed.left("ann", ROOM, before=7.0, at=9.0) == 6.0
    assert removed.until("ann", ROOM, 0.0) == 5.0


@pytest.mark.parametrize(
    ("changes", "user", "bounds"),
    [
        ([], "ann", (0.0, 0.0)),
        ([(5.0, "join", "eve", 6.0)], "eve", (5.0, 6.0)),
        ([(5.0, "join", "eve", None)], "eve", (5.0, NEVER)),
        ([(5.0, "join", "ann", 6.0)], "ann", (0.0, 6.0)),
        ([(5.0, "leave", "ann", 6.0), (7.0, "join", "ann", 8.0)], "ann", (7.0, 8.0)),
        ([(5.0, "leave", "ann", None), (7.0, "join", "ann", 8.0)], "ann", (0.0, NEVER)),
        ([(5.0, "leave", "ann", 6.0), (5.5, "join", "ann", 8.0)], "ann", (0.0, 8.0)),
        ([(5.0, "join", "eve", 6.0), (6.5, "remove", "eve", 7.0), (8.0, "invite", "eve", 9.0)], "eve", (8.0, 9.0)),
        ([(5.0, "join", "eve", 6.0), (8.0, "join", "eve", 9.0)], "eve", (5.0, 9.0)),
    ],
)
def test_the_newest_membership_began_between_two_times(
    changes: list[tuple[float, str, str, float | None]], user: str, bounds: tuple[float, float]
) -> None:
    assert timeline(*changes).joined(user, ROOM) == bounds
