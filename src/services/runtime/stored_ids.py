"""Ids that a store gives. One that is no id was written by another program: it is counted, and passed over.

It would be an error for everyone who uses the list: a worker could not load the user, and the user could not connect.
"""

from collections.abc import Sequence
from typing import Final

import structlog
from prometheus_client import Counter

from fanout.ids import are_ids, is_id
from fanout.packed_ids import pack
from services.runtime.skipping import is_news

log = structlog.get_logger(__name__)

STORED_IDS_SKIPPED: Final = Counter(
    "fanout_stored_ids_skipped_total", "What a store has in the place of an id, and is none, each time that it was read"
)


def pack_stored(values: Sequence[object], what: str) -> bytes:
    """Pack the ids of a list that a store gave.

    Args:
        values: what the store has.
        what: the field, for the log.

    Returns:
        those that are ids, packed.
    """
    ids = [value for value in values if isinstance(value, str)]
    if len(ids) < len(values) or not are_ids(ids):
        ids = [value for value in ids if is_id(value)]
        _tell(len(values) - len(ids), what)
    return pack(ids)


def _tell(skipped: int, what: str) -> None:
    STORED_IDS_SKIPPED.inc(skipped)
    if is_news(f"stored {what}", skipped):
        log.warning("the store has values that are no ids; they are passed over", field=what, count=skipped)
