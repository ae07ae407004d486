"""How far an import has come, as it is counted, shown, and kept in the store."""

import msgspec

from fanout.ports.imports import Imports
from fanout.ports.records import Position

SCHEMA = 1


class Tally(msgspec.Struct):
    """The records of a file that were read, by what became of them."""

    lines: int = 0
    """Lines or rows that were read: the number of the last one."""
    offset: int = 0
    """Bytes behind the last one, where lines are counted."""
    new: int = 0
    """Channels that were created, or memberships that began."""
    present: int = 0
    """Channels and memberships that there were already, or that came twice."""
    skipped: int = 0
    """Records that could not be imported."""
    blank: int = 0
    """Blank lines."""
    finished: bool = False
    """Whether the end of the file was reached."""

    @property
    def position(self) -> Position:
        """Where the import goes on."""
        return Position(self.lines, self.offset)


class _Kept(msgspec.Struct):
    schema: int
    tally: Tally


async def kept_tally(imports: Imports, name: str) -> Tally | None:
    """The tally that was kept under a name; None if there is none that this version reads.

    Raises:
        Unavailable: the store does not answer.
    """
    text = await imports.progress(name)
    if text is None:
        return None
    try:
        kept = msgspec.json.decode(text, type=_Kept)
    except msgspec.DecodeError:
        return None
    return kept.tally if kept.schema == SCHEMA else None


async def keep_tally(imports: Imports, name: str, tally: Tally) -> None:
    """Keep a tally under a name.

    Raises:
        Unavailable: the store does not answer; keeping it again is safe.
    """
    await imports.keep_progress(name, msgspec.json.encode(_Kept(SCHEMA, tally)).decode())
