"""Streams of others on the same server: told by their config, and named with the remedy."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fanout.errors import ForeignStore
from services.adapters.nats import api
from services.adapters.nats.connection import NatsConnection

_REMEDY: Final = (
    "set FANOUT_PREFIX, and Fanout uses streams and subjects of its own; or give it another account of the NATS server"
)


def refuse_foreign(config: Mapping[str, Any], subjects: Sequence[str]) -> None:
    """Refuse a stream of one of our names that another program made.

    Args:
        config: of the stream that is there.
        subjects: that ours has.

    Raises:
        ForeignStore: its subjects are others, or it keeps events in another way.
    """
    held = config.get("subjects") or []
    if not set(held).intersection(subjects):
        reason = f"its subjects are {', '.join(held) or 'none'}"
    elif config.get("retention", "limits") != "limits":
        reason = f"its retention is {config['retention']}"
    elif config.get("mirror") or config.get("sources"):
        reason = "it copies another stream"
    else:
        return
    raise ForeignStore(f"the stream {config['name']} is not Fanout's, for {reason}: {_REMEDY}")


async def refuse_overlap(nc: NatsConnection, name: str, subjects: Sequence[str]) -> None:
    """Refuse where another stream holds subjects of ours.

    Args:
        nc: the connection.
        name: of our stream.
        subjects: that it has, or is to have.

    Raises:
        ForeignStore: there is such a stream.
        Unavailable: JetStream cannot be reached.
    """
    for subject in subjects:
        holders = (await api.call(nc, "STREAM.NAMES", {"subject": subject})).get("streams") or []
        for holder in holders:
            if holder != name:
                raise ForeignStore(f"the stream {holder} holds {subject}, which {name} needs: {_REMEDY}")
