"""Messages that cannot be handled are counted and logged, and nothing else happens."""

import pytest
from structlog.testing import capture_logs

from services.runtime import skipping
from services.runtime.skipping import HANDLERS_FAILED, MESSAGES_SKIPPED, guarded, skip


@pytest.fixture(autouse=True)
def nothing_logged_yet() -> None:
    skipping._logged.clear()


def test_a_skipped_message_is_counted_by_its_kind() -> None:
    before = MESSAGES_SKIPPED.labels("digest")._value.get()
    skip("digest", "an unknown field")
    assert MESSAGES_SKIPPED.labels("digest")._value.get() == before + 1


def test_the_log_has_the_first_of_each_kind_and_then_ever_fewer() -> None:
    with capture_logs() as logs:
        for number in range(1, 9):
            skip("batch", f"reason {number}")
        skip("control", "another kind")
    assert [line["reason"] for line in logs] == ["reason 1", "reason 2", "reason 4", "reason 8", "another kind"]
    assert {line["log_level"] for line in logs} == {"warning"}


@pytest.mark.parametrize(("counts", "lines"), [((3,), 1), ((3, 2), 2), ((5, 2), 1)])
def test_messages_that_are_skipped_together_are_counted_and_logged_at_once(counts: tuple[int, ...], lines: int) -> None:
    before = MESSAGES_SKIPPED.labels("record")._value.get()
    with capture_logs() as logs:
        for count in counts:
            skip("record", "an unknown kind", count=count)
    assert MESSAGES_SKIPPED.labels("record")._value.get() == before + sum(counts)
    assert len(logs) == lines


def test_a_guarded_handler_gets_each_message_as_it_is() -> None:
    got: list[tuple[str, bytes]] = []
    guarded("a.b", lambda subject, payload: got.append((subject, payload)))("a.b", b"1")
    assert got == [("a.b", b"1")]


def test_a_failure_is_counted_logged_with_its_traceback_and_goes_no_further() -> None:
    def fail(_message: str) -> None:
        raise LookupError("broken")

    before = HANDLERS_FAILED.labels("hints")._value.get()
    handle = guarded("hints", fail)
    with capture_logs() as logs:
        for _ in range(3):
            handle("x")
    assert HANDLERS_FAILED.labels("hints")._value.get() == before + 3
    assert [(line["log_level"], line["exc_info"], line["handler"]) for line in logs] == [("error", True, "hints")] * 2


def test_what_is_to_end_the_process_does() -> None:
    def stop(_message: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guarded("hints", stop)("x")
