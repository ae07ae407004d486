"""The differences between a presence set and the table."""

from typing import Any, cast

import pytest

from fanout import Engine
from fanout.workers import PresenceChange, PresenceSetPage
from services.fan_out.presence_set import PresenceSetTransfer
from services.fan_out.repair import Repair


class Changes:
    """A presence applier that notes what it is given."""

    def __init__(self) -> None:
        self.made: list[PresenceChange] = []
        self.pending: set[str] = set()
        self.expected: set[str] = set()

    def change(self, change: PresenceChange) -> None:
        self.made.append(change)

    def is_pending(self, user_id: str) -> bool:
        return user_id in self.pending

    def is_expected(self, change: PresenceChange) -> bool:
        return _named(change) in self.expected

    def named(self) -> set[str]:
        return set(map(_named, self.made))


def _named(change: PresenceChange) -> str:
    return ("+" if change.online else "-") + change.user_id


@pytest.fixture
def changes() -> Changes:
    return Changes()


def _repair(changes: Changes, *in_the_table: str) -> Repair:
    engine = Engine()
    for user in in_the_table:
        engine.user_online(user, "notif-1", [])
    engine.user_online("elsewhere", "notif-2", [])
    return Repair(engine, cast("Any", changes))


ANNOUNCED = 7


def _transfer(*users: str, hinted: dict[str, int] | None = None) -> PresenceSetTransfer:
    transfer = PresenceSetTransfer("7", 1, 0.0, hinted=hinted or {})
    transfer.add(PresenceSetPage("notif-1", "first", "7", 0, last=True, users=list(users), announced=ANNOUNCED), 1.0)
    return transfer


async def test_each_difference_is_one_change(changes: Changes) -> None:
    repair = _repair(changes, "alice", "bob")
    assert await repair.run("notif-1", _transfer("bob", "carol"), lambda: True) == 2
    assert changes.named() == {"-alice", "+carol"}
    said = {(change.instance_id, change.incarnation, change.number) for change in changes.made}
    assert said == {("notif-1", "first", ANNOUNCED)}


async def test_where_both_agree_nothing_is_changed(changes: Changes) -> None:
    assert await _repair(changes, "alice").run("notif-1", _transfer("alice"), lambda: True) == 0
    assert changes.made == []


async def test_a_newer_hint_wins_and_an_older_one_does_not(changes: Changes) -> None:
    transfer = _transfer("bob", hinted={"alice": ANNOUNCED + 1, "bob": ANNOUNCED})
    assert await _repair(changes, "alice").run("notif-1", transfer, lambda: True) == 1
    assert changes.named() == {"+bob"}


async def test_it_ends_where_the_instance_is_gone(changes: Changes) -> None:
    users = [f"user-{number}" for number in range(100)]
    await _repair(changes).run("notif-1", _transfer(*users), lambda: len(changes.made) < 3)
    assert len(changes.made) == 3


async def test_a_user_whose_last_change_is_not_applied_yet_is_a_difference(changes: Changes) -> None:
    changes.pending = {"alice"}
    assert await _repair(changes, "alice", "bob").run("notif-1", _transfer("alice", "bob"), lambda: True) == 1
    assert changes.named() == {"+alice"}


async def test_users_who_are_being_loaded_or_removed_are_not_repaired(changes: Changes) -> None:
    changes.expected = {"+ann", "-ben"}
    repair = _repair(changes, "ben", "dan")
    assert await repair.run("notif-1", _transfer("ann", "cid"), lambda: True) == 2
    assert changes.named() == {"+ann", "+cid", "-ben", "-dan"}
