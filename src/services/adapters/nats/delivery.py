"""A message as a JetStream consumer delivers it: its numbers stand in the subject for its acknowledgement."""

from typing import Final, NamedTuple

from nats.aio.msg import Msg

from fanout.ports.log import Stored
from services.adapters.nats.streams import published_subject

ACK_PREFIX: Final = "$JS.ACK."

_SHORT_FORM: Final = 9
_DOMAIN_AND_ACCOUNT: Final = 2


class Delivery(NamedTuple):
    """One delivery of one event to one consumer."""

    consumer: str
    attempt: int
    """Which delivery of this event to this consumer, from 1."""
    seq: int
    """Of the stream."""
    order: int
    """Of the consumer: counts its deliveries, from 1."""
    pending: int
    """Events for this consumer that follow this one."""
    subject: str
    """As stored."""
    payload: bytes
    token: str
    """Where the acknowledgement is published."""

    @classmethod
    def of(cls, msg: Msg) -> "Delivery":
        """Read a message whose reply subject begins with `ACK_PREFIX`.

        The short form is `$JS.ACK.{stream}.{consumer}.{attempt}.{seq}.{order}.{time}.{pending}`; the long form has
        `{domain}.{account}` before the stream and may have more at the end.
        """
        tokens = msg.reply.split(".")
        at = 3 if len(tokens) == _SHORT_FORM else 3 + _DOMAIN_AND_ACCOUNT
        consumer, attempt, seq, order, _, pending = tokens[at : at + 6]
        return cls(consumer, int(attempt), int(seq), int(order), int(pending), msg.subject, msg.data, msg.reply)

    def stored(self) -> Stored:
        """The event for the log's readers."""
        return Stored(self.seq, published_subject(self.subject), self.payload, self.attempt, self.token)
