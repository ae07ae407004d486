"""A device is active until its user has done nothing for a while."""

from fanout.client.activity import Activity


def test_an_active_user_becomes_idle_after_a_minute_without_interaction() -> None:
    activity = Activity("idle", 0.0, 60.0)
    assert activity.set("active", 100.0)
    assert activity.deadline == 160.0
    assert not activity.expire(159.9)
    assert activity.expire(160.0)
    assert activity.state == "idle"
    assert activity.deadline is None


def test_an_interaction_begins_the_minute_again_and_is_no_change() -> None:
    activity = Activity("active", 0.0, 60.0)
    assert not activity.set("active", 50.0)
    assert activity.deadline == 110.0


def test_a_device_in_the_background_stays_there() -> None:
    activity = Activity("active", 0.0, 60.0)
    assert activity.set("background", 10.0)
    assert activity.deadline is None
    assert not activity.expire(1_000.0)
    assert activity.state == "background"
