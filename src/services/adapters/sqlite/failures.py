"""Errors of SQLite become those of `fanout.errors`, which the callers of a store know."""

import sqlite3
from pathlib import Path
from typing import Final

from fanout.errors import FanoutError, OutcomeUnknown, StorageFull, Unavailable

_OUT_OF_REACH: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)

_UNWRITABLE: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY})
"""Those of a write to a disk that is full or broken, where reads still work."""

_NO_DATABASE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def translated(error: Exception) -> Exception:
    """The error for the callers of the store. An error of the program itself is returned unchanged."""
    if code_of(error) not in _OUT_OF_REACH:
        return error
    kind = StorageFull if code_of(error) == sqlite3.SQLITE_FULL else Unavailable
    unavailable = kind(f"the database cannot be used: {error}")
    unavailable.__cause__ = error
    return unavailable


def uncertain(error: Exception) -> Exception:
    """The error of a failed commit, which may or may not have reached the disk."""
    unknown = OutcomeUnknown(f"the disk failed while a transaction was made durable: {error}")
    unknown.__cause__ = error
    return unknown


def code_of(error: BaseException | None) -> int | None:
    """The primary result code of an error that SQLite raised."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def refused_by_the_disk(error: BaseException | None) -> bool:
    """Whether a write failed because the disk is full or broken."""
    return error is not None and (code_of(error) in _UNWRITABLE or refused_by_the_disk(error.__cause__))


def not_opened(path: Path | None, error: sqlite3.Error) -> Exception:
    """The error for the caller that opens a file. An error in the schema is returned unchanged."""
    if code_of(error) in _NO_DATABASE:
        return FanoutError(f"{path} cannot be used: {error}")
    return translated(error)
