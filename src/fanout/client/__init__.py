"""The client: what a device does to get every event of its user, once and in order, over any number of connections.

`fanout.client.connection` has the asyncio client. It needs the extra `fanout[client]`, and nothing here imports it:

    from fanout.client import MessageNew
    from fanout.client.connection import Client

    async with Client("https://chat.example", token, device_id=device_id) as client:
        async for event in client:
            match event:
                case MessageNew(message=message):
                    print(message.sender_id, message.text)

Everything else is without sockets and clocks: `ClientProtocol` is the client's side of the protocol for programs that
bring their own. `docs/client.md` explains both.
"""

from fanout.client.activity import State
from fanout.client.decoding import decode
from fanout.client.errors import (
    ClientClosed,
    ClientError,
    DeviceDeregistered,
    DeviceReplaced,
    InvalidAddress,
    InvalidResumePoint,
    OutboxFull,
    ProtocolViolation,
    SessionEnded,
    TokenRefused,
)
from fanout.client.events import (
    AuthOk,
    Catchup,
    CatchupComplete,
    ChatMessage,
    Disconnected,
    Draft,
    DraftLoad,
    DraftSaved,
    ErrorFrame,
    Event,
    FullRefreshRequired,
    HeartbeatOk,
    MemberJoined,
    MemberLeft,
    MessageNew,
    MissedMessages,
    Pong,
    PresenceUpdate,
    ReceiptRead,
    ResumeDropped,
    SyncDraft,
    SyncRead,
    ThreadReply,
    Typing,
    Unknown,
    UnreadCounts,
)
from fanout.client.protocol import ClientProtocol, Device, Phase, Received
from fanout.client.reconnecting import Closing, Delays
from fanout.client.resume_point import ResumePoint
from fanout.client.settings import ClientSettings

__all__ = [
    "AuthOk",
    "Catchup",
    "CatchupComplete",
    "ChatMessage",
    "ClientClosed",
    "ClientError",
    "ClientProtocol",
    "ClientSettings",
    "Closing",
    "Delays",
    "Device",
    "DeviceDeregistered",
    "DeviceReplaced",
    "Disconnected",
    "Draft",
    "DraftLoad",
    "DraftSaved",
    "ErrorFrame",
    "Event",
    "FullRefreshRequired",
    "HeartbeatOk",
    "InvalidAddress",
    "InvalidResumePoint",
    "MemberJoined",
    "MemberLeft",
    "MessageNew",
    "MissedMessages",
    "OutboxFull",
    "Phase",
    "Pong",
    "PresenceUpdate",
    "ProtocolViolation",
    "ReceiptRead",
    "Received",
    "ResumeDropped",
    "ResumePoint",
    "SessionEnded",
    "State",
    "SyncDraft",
    "SyncRead",
    "ThreadReply",
    "TokenRefused",
    "Typing",
    "Unknown",
    "UnreadCounts",
    "decode",
]
