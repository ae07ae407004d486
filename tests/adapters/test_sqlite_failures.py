import sqlite3
from pathlib import Path

import pytest

from fanout.errors import FanoutError, OutcomeUnknown, StorageFull, Unavailable
from services.adapters.sqlite.failures import code_of, not_opened, refused_by_the_disk, translated, uncertain


def raised(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("it failed")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_BUSY, Unavailable),
        (sqlite3.SQLITE_IOERR_FSYNC, Unavailable),
        (sqlite3.SQLITE_FULL, StorageFull),
    ],
)
def test_what_ends_by_itself_is_unavailable_with_its_cause(code: int, kind: type[Exception]) -> None:
    error = raised(code)
    seen = translated(error)
    assert type(seen) is kind
    assert seen.__cause__ is error


@pytest.mark.parametrize("error", [raised(sqlite3.SQLITE_CONSTRAINT), ValueError("ours")])
def test_what_the_program_did_wrong_stays_what_it_is(error: Exception) -> None:
    assert translated(error) is error


def test_a_commit_that_failed_may_have_been_done() -> None:
    assert isinstance(uncertain(raised(sqlite3.SQLITE_IOERR)), OutcomeUnknown)


def test_the_primary_code_counts() -> None:
    assert code_of(raised(sqlite3.SQLITE_IOERR_FSYNC)) == sqlite3.SQLITE_IOERR
    assert code_of(ValueError()) is None


def test_a_full_disk_is_seen_through_the_errors_that_it_led_to() -> None:
    assert refused_by_the_disk(translated(raised(sqlite3.SQLITE_FULL)))
    assert not refused_by_the_disk(translated(raised(sqlite3.SQLITE_BUSY)))
    assert not refused_by_the_disk(None)


def test_a_file_that_is_no_database_is_named() -> None:
    seen = not_opened(Path("/a/messages.db"), raised(sqlite3.SQLITE_NOTADB))
    assert type(seen) is FanoutError
    assert "/a/messages.db" in str(seen)
    assert isinstance(not_opened(None, raised(sqlite3.SQLITE_CANTOPEN)), Unavailable)
