"""The pages of a presence set: in order, of one request, and complete with the last one."""

from fanout.workers import PresenceSetPage
from services.fan_out.presence_set import PresenceSetTransfer


def _page(number: int, *users: str, last: bool = False, request: str = "7") -> PresenceSetPage:
    return PresenceSetPage("notif-1", "1", request, number, last, list(users), announced=5)


def test_it_is_complete_with_the_last_page() -> None:
    transfer = PresenceSetTransfer("7", contact=1, progressed_at=1.0)
    assert not transfer.add(_page(0, "alice", "bob"), now=2.0)
    assert not transfer.complete
    assert transfer.add(_page(1, "carol", last=True), now=3.0)
    assert (set(transfer.users), transfer.complete, transfer.progressed_at) == ({"alice", "bob", "carol"}, True, 3.0)


def test_a_page_of_another_request_is_ignored() -> None:
    transfer = PresenceSetTransfer("7", contact=1, progressed_at=1.0)
    assert not transfer.add(_page(0, "alice", last=True, request="6"), now=2.0)
    assert (set(transfer.users), transfer.complete, transfer.progressed_at) == (set(), False, 1.0)


def test_a_page_after_a_lost_one_is_ignored_and_so_is_a_repeated_one() -> None:
    transfer = PresenceSetTransfer("7", contact=1, progressed_at=1.0)
    assert not transfer.add(_page(1, "bob", last=True), now=2.0)
    assert not transfer.add(_page(0, "alice"), now=2.0)
    assert not transfer.add(_page(0, "alice"), now=3.0)
    assert (set(transfer.users), transfer.complete, transfer.progressed_at) == ({"alice"}, False, 2.0)


def test_no_page_is_added_to_a_complete_set() -> None:
    transfer = PresenceSetTransfer("7", contact=1, progressed_at=1.0)
    assert transfer.add(_page(0, last=True), now=2.0)
    assert not transfer.add(_page(1, "mallory", last=True), now=3.0)
    assert transfer.users == {}


def test_a_set_that_is_unchanged_has_one_page_without_users() -> None:
    transfer = PresenceSetTransfer("7", contact=1, progressed_at=1.0)
    assert transfer.add(
        PresenceSetPage("notif-1", "1", "7", 0, last=True, users=[], announced=5, unchanged=True), now=2.0
    )
    assert (transfer.complete, transfer.unchanged, transfer.users) == (True, True, {})


def test_it_is_news_of_those_whose_newest_hint_it_contains() -> None:
    transfer = PresenceSetTransfer("7", contact=1, progressed_at=1.0, hinted={"alice": 5, "bob": 6})
    assert transfer.add(_page(0, "alice", "bob", "carol", last=True), now=2.0)
    assert [transfer.is_news_of(user) for user in ("alice", "bob", "carol")] == [True, False, True]
