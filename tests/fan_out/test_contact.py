"""Whether the instances hear a worker, by its notices that come back."""

import pytest

from fanout.workers import WORKER_SILENT_AFTER_S
from services.fan_out.contact import Contact


class Rig:
    def __init__(self) -> None:
        self.now = 100.0
        self.contact = Contact(clock=lambda: self.now)
        self.begun = 0
        self.contact.on_begin(self._begin)

    def _begin(self) -> None:
        self.begun += 1


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_there_is_none_before_a_notice_came_back(rig: Rig) -> None:
    assert rig.contact.current() is None
    notice = rig.contact.sign()
    assert rig.contact.current() is None
    rig.contact.hear(notice)
    assert rig.contact.current() == 1
    assert rig.begun == 1


def test_it_lasts_while_notices_come_back(rig: Rig) -> None:
    for _ in range(5):
        rig.contact.hear(rig.contact.sign())
        rig.now += WORKER_SILENT_AFTER_S - 0.1
        assert rig.contact.current() == 1
    assert rig.begun == 1


def test_each_silence_ends_it(rig: Rig) -> None:
    rig.contact.hear(rig.contact.sign())
    rig.now += WORKER_SILENT_AFTER_S
    assert rig.contact.current() is None
    rig.contact.hear(rig.contact.sign())
    assert rig.contact.current() == 2
    assert rig.begun == 2


def test_a_silence_counts_though_nobody_asked_meanwhile(rig: Rig) -> None:
    rig.contact.hear(rig.contact.sign())
    rig.now += WORKER_SILENT_AFTER_S
    rig.contact.hear(rig.contact.sign())
    assert rig.contact.current() == 2


def test_a_notice_counts_from_when_it_was_sent(rig: Rig) -> None:
    late, very_late = rig.contact.sign(), rig.contact.sign()
    rig.now += WORKER_SILENT_AFTER_S - 0.1
    rig.contact.hear(late)
    assert rig.contact.current() == 1
    rig.now += 0.1
    rig.contact.hear(very_late)
    assert rig.contact.current() is None
    assert rig.begun == 1


def test_a_notice_of_another_process_or_one_that_came_already_shows_nothing(rig: Rig) -> None:
    rig.contact.hear("")
    rig.contact.hear(Contact().sign())
    assert rig.contact.current() is None
    notice = rig.contact.sign()
    rig.contact.hear(notice)
    rig.now += WORKER_SILENT_AFTER_S
    rig.contact.hear(notice)
    assert rig.contact.current() is None


def test_of_notices_that_never_come_back_only_some_are_remembered(rig: Rig) -> None:
    first, *_, newest = [rig.contact.sign() for _ in range(1_000)]
    rig.contact.hear(first)
    assert rig.contact.current() is None
    rig.contact.hear(newest)
    assert rig.contact.current() == 1
