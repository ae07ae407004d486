"""The routes under `/api/v1`, contract section 2: each hands its request on, and its answer back."""

from collections.abc import Callable
from typing import Any, Final

from litestar import Request, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, SkipValidation
from litestar.types import AnyCallable, ASGIApp

from fanout import api
from fanout.api import (
    ChannelAnswer,
    ChannelRequest,
    Commands,
    CreateChannel,
    History,
    HistoryRequest,
    InviteRequest,
    Queries,
    RealtimeAddress,
    SendMessage,
    SentMessage,
)
from fanout.ports.authenticator import Identity
from services.gateway.bodies import StrictBody, read_query, without_query
from services.gateway.openapi import problems
from services.runtime.web import correlation_id

PREFIX: Final = "/api/v1"

Caller = Request[str, Identity, State]
CommandsGiven = NamedDependency[SkipValidation[Commands]]
QueriesGiven = NamedDependency[SkipValidation[Queries]]
Decorator = Callable[[AnyCallable], HTTPRouteHandler]


def _post(name: str, summary: str, answer: str, *codes: str, status: int = 200) -> Decorator:
    """A call with a body: its name, and for its document a summary, what its answer means, and its codes."""
    described = _described(name, summary, answer, "malformed_json", "body_too_large", "outcome_unknown", *codes)
    return post(f"/{name}", status_code=status, guards=[without_query], **described)


def _get(name: str, summary: str, answer: str, *codes: str, query: type[api.Request] | None = None) -> Decorator:
    """A call without a body, described as one with a body is; `query` is what its handler reads from its query."""
    limits: dict[str, Any] = {"opt": {"query": query}} if query else {"guards": [without_query]}
    return get(f"/{name}", **limits, **_described(name, summary, answer, *codes))


def _described(name: str, summary: str, answer: str, *codes: str) -> dict[str, Any]:
    return {
        "operation_id": name,
        "tags": [name.partition(".")[0]],
        "summary": summary,
        "response_description": answer,
        "responses": problems(*codes),
    }


@_post(
    "chat.sendMessage",
    "Send a message",
    "The log holds the message.",
    "threads_unavailable",
    "not_a_member",
    "message_too_large",
    status=202,
)
async def send_message(request: Caller, data: JSONBody[SendMessage], commands: CommandsGiven) -> SentMessage:
    """Answered once the log holds the message; it is delivered after that."""
    return await commands.send_message(request.user, data, correlation_id(request))


@_post("channels.create", "Create a channel", "The channel is there.", "channel_exists", status=201)
async def create_channel(request: Caller, data: JSONBody[CreateChannel], commands: CommandsGiven) -> ChannelAnswer:
    """The caller is its first member."""
    return await commands.create_channel(request.user, data)


@_post("channels.join", "Join a channel", "The caller is a member.", "channel_not_found")
async def join_channel(request: Caller, data: JSONBody[ChannelRequest], commands: CommandsGiven) -> ChannelAnswer:
    """A private channel is entered by a member's invitation only: to others it is as if it did not exist."""
    return await commands.join(request.user, data)


@_post("channels.leave", "Leave a channel", "The caller is no member.", "channel_not_found")
async def leave_channel(request: Caller, data: JSONBody[ChannelRequest], commands: CommandsGiven) -> ChannelAnswer:
    """Leaving a channel that one is not in changes nothing; a private one is as if it did not exist."""
    return await commands.leave(request.user, data)


@_post("channels.invite", "Make others members", "They are members.", "not_a_member")
async def invite(request: Caller, data: JSONBody[InviteRequest], commands: CommandsGiven) -> ChannelAnswer:
    """The caller is a member; who is one already stays one."""
    return await commands.invite(request.user, data)


@_get(
    "channels.history",
    "Read a channel",
    "A page of messages.",
    "bad_cursor",
    "unknown_message",
    "not_a_member",
    query=HistoryRequest,
)
async def history(request: Caller, queries: QueriesGiven) -> History:
    """Messages in the order of the log, newest first.

    Without `before`, `after` and `cursor`, the newest messages; the cursor walks on to older ones. A page ends before
    `limit` where its messages exceed 1 MiB. A message that was accepted a moment ago may not be stored yet: `upto_seq`
    says up to where the page misses nothing.
    """
    return await queries.history(request.user, read_query(request, HistoryRequest))


@_get("realtime.connect", "Find where to connect", "The address of the instance with most room.")
async def connect(queries: QueriesGiven) -> RealtimeAddress:
    """Ask anew before each connection: instances come and go."""
    return await queries.connect()


def api_router(commands: Commands, queries: Queries, admit: Callable[[ASGIApp], ASGIApp]) -> Router:
    """The routes.

    Args:
        commands: the calls that change something.
        queries: the calls that only read.
        admit: middleware that lets callers in.
    """
    return Router(
        PREFIX,
        route_handlers=[
            send_message,
            create_channel,
            join_channel,
            leave_channel,
            invite,
            history,
            connect,
        ],
        dependencies={
            "commands": Provide(lambda: commands, sync_to_thread=False),
            "queries": Provide(lambda: queries, sync_to_thread=False),
        },
        dto=StrictBody[api.Request],
        return_dto=None,
        middleware=[admit],
        security=[{"token": []}],
    )
