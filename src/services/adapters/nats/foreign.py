"""Detects streams of other programs on the same server by their config, and says what to do."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fanout.errors import ForeignStore
from services.adapters.nats import api
from services.adapters.nats.connection import NatsConnection

_REMEDY: Final = (
    "set FANOUT_PREFIX, and Fanout uses streams and subjects of its own; or give it another account of the NATS server"
)


def refuse_foreign(config: Mapping[str, Any], subjects: Sequence[str]) -> None:
    """Refuse a stream that has a name of this deployment and was created by another program.

    Args:
        config: of the stream that exists.
        subjects: that the stream should have.

    Raises:
        ForeignStore: its subjects, its retention or its sources are not those of the deployment's stream.
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
    """Refuse if another stream holds subjects of this deployment.

    Args:
        nc: the connection.
        name: of the deployment's stream.
        subjects: that it has, or should get.

    Raises:
        ForeignStore: another stream holds one of the subjects.
        Unavailable: JetStream cannot be reached.
    """
    for subject in subjects:
        holders = (await api.call(nc, "STREAM.NAMES", {"subject": subject})).get("streams") or []
        for holder in holders:
            if holder != name:
                raise ForeignStore(f"the stream {holder} holds {subject}, which {name} needs: {_REMEDY}")
