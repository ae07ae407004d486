"""The words that a story uses, each with what it means, for people who read their first one."""

import re
from collections.abc import Iterator
from typing import Final

WORDS: Final = {
    r"\bgateway": "gateway: a server that takes what people ask for and post, and answers with the history",
    r"\bworker\d": (
        "worker: a fan-out worker; it has a table of who is on which instance and in which channels, reads "
        "messages from the log, and routes each to the instances where members of its channel are"
    ),
    r"\binstance\d": (
        "instance: a notification instance; it has the sockets of devices, and pushes to them what the "
        "workers route to it"
    ),
    r"\breceipts\d": "receipts: it copies read receipts from the log to the message store, and is a receipt writer",
    r"\bwriter\d": "writer: it copies messages from the log to the message store, which the history is read from",
    r"\b(nats|the log)\b": (
        "nats: the server of the log, which stores messages and changes of members in order, and of the bus, "
        "by which processes send each other what is not stored"
    ),
    r"\bredis\b": "redis: the server that has the leases of the instances and records who is connected where",
    r"(message|membership) store|the stores|(to|reaches) stores|\bstores (is|stands)": (
        "stores: the servers of the message store and of the membership store, which says who is in a channel"
    ),
    r"\bseq\b": (
        "seq: the number of a message in the log, which counts the messages of all channels together; changes"
        " of members are counted apart"
    ),
    r"\bpartition \d": "partition: a share of the channels; one worker at a time is to read the messages of each",
    r"reads? the history": (
        "reads the history: a device asks for stored messages when it connects, when it is told to, and with "
        "each heartbeat until it has everything up to where the log ended when it began to read"
    ),
    r"the end of the log": "the end of the log: the seq of its newest message when the answer was given",
    r"complete up to seq": (
        "complete up to seq N: this answer of the history, with those that it continues, has every message up"
        " to N that was asked for"
    ),
    r"is told that everything up to": (
        "is told that everything up to seq N was delivered: the answer to a heartbeat; it speaks of what was "
        "stored since the device connected"
    ),
    r"\bthread\b": (
        "thread: a message and the replies to it; a reply is in its thread alone, and so in no history of the"
        " channel, or in the channel too"
    ),
    r"says that \S+ has read": (
        "has read: a device says up to which message its user has read a channel; what others posted after that "
        "is unread"
    ),
    r"receipt|has read m\d": "receipt: that a user has read a message; the log keeps it, and the members hear of it",
    r"pointer": "pointer: up to where a user has read a channel; it only rises",
    r"mention": "mentions: a message may name members of its channel, for whom it is counted apart until it is read",
    r"now has": "now has: a worker has put a user in its table; what it reads from then on, it routes to the user too",
    r"follow the changes": (
        "follows the changes: a worker loads the channels of a user once, and then applies each change of "
        "members that the log stores after that seq"
    ),
    r"notices that the log has lost": (
        "notices: a process has seen that the log went back; gateways then publish lost changes of members "
        "again, and instances tell their devices to read again"
    ),
    r"\bsuspend": (
        "suspends an instance: the worker routes no messages to it, because its table may lack users there; "
        "the instance reads the log instead"
    ),
    r"announces": (
        "announces a user: an instance tells the workers that the user has connected to it, until each worker"
        " that it hears has put the user in its table"
    ),
    r"marks": (
        "marks: a worker tells an instance how far it has routed a partition; the instance takes what lies "
        "before for delivered or not meant for it"
    ),
    r"^  missed:": (
        "missed: a session never got a message over its socket, though the device may have read it in the history"
    ),
    r"^  heartbeat:": "heartbeat: a device was told that everything was delivered, and something was not",
    r"^  caught up:": (
        "caught up: at the end each connected device is to know each message of its channels, by socket or history"
    ),
    r"^  rest:": "rest: some time after the last fault nothing is to be left to do, and all tables are to say the same",
    r"^  history:": "history: an answer of the history that is said to be complete is to lack nothing",
    r"^  timely:": "timely: while nothing goes wrong, a message is to be delivered within half a second",
    r"^  theirs:": "theirs: nobody is to get what is of a channel that he is no member of",
    r"^  (once|order):": "once, order: a session gets each message once, with rising seq",
    r"^  store:": "store: the message store is to have each message of the log once",
    r"^  refused:": (
        "refused: who has left a channel, or was removed from it, is to be refused there, from a second later on"
    ),
    r"^  threads:": (
        "threads: a reply is to reach each member as one, and to be in its thread once, for members alone"
    ),
    r"^  unread:": (
        "unread: at rest a user is to be told of as many unread messages and mentions as the log has after the "
        "user's pointer"
    ),
    r"^  receipts:": (
        "receipts: each receipt of a message of somebody else is to be stored once, and to reach every session of a "
        "member that lasts"
    ),
    r"^  told:": "told: a device that is connected while the log loses something is to be told to read again",
    r"^  accepted:": "accepted: a message that was accepted is to be in the log",
    r"^  alive:": "alive: no process is to end by itself",
    r"^  errors:": "errors: the processes are to handle every error",
    r"^  opened:": "opened: the first thing that a device hears over a new socket is that it is let in",
}
"""By a pattern that finds a word in a story: the line that explains it."""


def words_of(text: str) -> Iterator[str]:
    """The lines that explain the words of a text, in a fixed order.

    Args:
        text: a story without its legend.
    """
    for pattern, line in WORDS.items():
        if re.search(pattern, text, re.MULTILINE):
            yield line
