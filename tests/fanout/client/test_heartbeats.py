"""Heartbeats come in time, and a silent server is noticed."""

from fanout.client.heartbeats import Heartbeats


def test_one_is_due_each_interval() -> None:
    heartbeats = Heartbeats(30.0, 10.0, 100.0)
    assert heartbeats.deadline == 130.0
    assert not heartbeats.is_due(129.9)
    assert heartbeats.is_due(130.0)
    heartbeats.sent(131.0)
    heartbeats.answered()
    assert heartbeats.deadline == 161.0


def test_one_can_be_sent_before_its_time_and_not_after_it() -> None:
    heartbeats = Heartbeats(30.0, 10.0, 0.0)
    heartbeats.hasten(2.0)
    heartbeats.hasten(50.0)
    assert heartbeats.deadline == 2.0


def test_a_server_that_does_not_answer_is_gone() -> None:
    heartbeats = Heartbeats(30.0, 10.0, 0.0)
    heartbeats.sent(30.0)
    assert heartbeats.deadline == 40.0
    assert not heartbeats.server_is_gone(39.9)
    assert heartbeats.server_is_gone(40.0)


def test_any_frame_is_a_sign_of_life() -> None:
    heartbeats = Heartbeats(30.0, 10.0, 0.0)
    heartbeats.sent(30.0)
    heartbeats.heard(39.0)
    assert not heartbeats.server_is_gone(48.9)
    assert heartbeats.server_is_gone(49.0)


def test_more_heartbeats_do_not_put_it_off() -> None:
    heartbeats = Heartbeats(30.0, 10.0, 0.0)
    heartbeats.sent(30.0)
    heartbeats.sent(35.0)
    assert heartbeats.server_is_gone(40.0)


def test_without_a_heartbeat_silence_is_nothing() -> None:
    heartbeats = Heartbeats(30.0, 10.0, 0.0)
    heartbeats.heard(5.0)
    assert not heartbeats.server_is_gone(1_000.0)


def test_what_the_client_itself_does_not_read_says_nothing() -> None:
    heartbeats = Heartbeats(30.0, 10.0, 0.0)
    heartbeats.sent(30.0)
    heartbeats.hold()
    assert not heartbeats.server_is_gone(500.0)
    assert heartbeats.deadline == 60.0
    heartbeats.release(500.0)
    assert not heartbeats.server_is_gone(509.9)
    assert heartbeats.server_is_gone(510.0)
