"""What an instance does when the log went back."""

import pytest

from fanout import machine
from fanout.events import timestamp
from fanout.ports.log import Reset
from fanout.streams import DEAD, MESSAGES, META
from services.notification import log_resets
from tests.support.harness import Harness
from tests.support.observing import until


@pytest.fixture(autouse=True)
def _refreshes_are_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients wait as long as they may, so that none has refreshed before the next loss by chance."""
    monkeypatch.setattr(machine, "random_below", lambda n: n - 1)


async def test_each_client_is_told_once_to_refresh_and_keeps_its_socket(harness: Harness) -> None:
    instance = await harness.add_instance("notif-1")
    clients = [await harness.connect(instance, user) for user in ("alice", "bob")]
    for stream in (MESSAGES, META, DEAD):
        instance._log_resets.hear(Reset(stream, 0))
    for client in clients:
        await until(lambda who=client: bool(who.of_type("full_refresh_required")))  # type: ignore[misc]
        [told] = client.of_type("full_refresh_required")
        assert (told["tier"], told["reason"]) == (4, "log_reset")
        assert 0 <= told["after_ms"] < log_resets.SPREAD_MS
        assert client.close_code is None


async def test_a_client_that_connected_after_the_others_were_told_is_told_of_the_next_loss(harness: Harness) -> None:
    instance = await harness.add_instance("notif-1")
    alice = await harness.connect(instance, "alice")
    instance._log_resets.hear(Reset(META, 0))
    await until(lambda: bool(alice.of_type("full_refresh_required")), "alice is told")
    bob = await harness.connect(instance, "bob")
    instance._log_resets.hear(Reset(MESSAGES, 0))
    await until(lambda: bool(bob.of_type("full_refresh_required")), "bob is told")
    assert len(alice.of_type("full_refresh_required")) == 1


@pytest.mark.parametrize(("after_s", "times"), [(0, 2), (20, 1)])
async def test_a_client_that_has_refreshed_is_told_of_the_next_loss_and_one_that_is_still_to_is_not(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, after_s: int, times: int
) -> None:
    instance = await harness.add_instance("notif-1")
    alice = await harness.connect(instance, "alice")
    monkeypatch.setattr(machine, "random_below", lambda _n: after_s * 1_000)
    await instance._log_resets._notify_clients()
    await instance._log_resets._notify_clients()
    alice.send("heartbeat")
    await until(lambda: bool(alice.of_type("heartbeat.ok")), "alice has got all that was sent before")
    assert len(alice.of_type("full_refresh_required")) == times


async def test_channels_are_loaded_from_the_store_where_changes_are_not_told_again(harness: Harness) -> None:
    instance = await harness.add_instance("notif-1")
    await harness.create("general", "bob")
    alice = await harness.connect(instance, "alice")
    await harness.memberships.add("general", ["alice"], timestamp())  # the event of it is lost
    instance._log_resets.hear(Reset(META, 0))
    await until(lambda: instance.registry.is_member("alice", "general"), "alice reads again")
    assert alice.close_code is None
