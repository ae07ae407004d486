"""The routes under `/api/v1`, contract section 2: each hands its request on, and its answer back."""

from collections.abc import Callable
from typing import Annotated, Final

from litestar import Request, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, JSONBody, QueryParameter, SkipValidation
from litestar.types import ASGIApp

from fanout.api import (
    MAX_PAGE,
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
from services.gateway.bodies import StrictBody
from services.runtime.problems import MEDIA_TYPE, ProblemDetails
from services.runtime.web import correlation_id

PREFIX: Final = "/api/v1"

Caller = Request[str, Identity, State]
CommandsGiven = NamedDependency[SkipValidation[Commands]]
QueriesGiven = NamedDependency[SkipValidation[Queries]]

_DESCRIPTIONS: Final = {
    400: "The request can never succeed: `invalid_request`, `malformed_json`, `invalid_cursor`, `threads_unavailable`",
    401: "The token is missing or worth nothing: `token_…`",
    403: "The caller may not do this: `not_a_member`, `private_channel`",
    404: "There is no such channel: `channel_not_found`",
    409: "The channel exists: `channel_exists`",
    413: "The body is too large: `body_too_large`",
    429: "Too many requests: `rate_limited`; `Retry-After` says how long to wait",
    503: "Something needed cannot be reached; nothing was half done: `unavailable`",
}


def _problems(*statuses: int) -> dict[int, ResponseSpec]:
    return {
        status: ResponseSpec(
            ProblemDetails,
            description=_DESCRIPTIONS[status],
            media_type=MEDIA_TYPE,
            generate_examples=False,
        )
        for status in (401, 429, 503, *statuses)
    }


@post(
    "/chat.sendMessage",
    dto=StrictBody[SendMessage],
    return_dto=None,
    status_code=202,
    tags=["chat"],
    summary="Send a message; answered once the log holds it",
    responses=_problems(400, 403, 413),
)
async def send_message(request: Caller, data: JSONBody[SendMessage], commands: CommandsGiven) -> SentMessage:
    """Send a message."""
    return await commands.send_message(request.user, data, correlation_id(request))


@post(
    "/channels.create",
    dto=StrictBody[CreateChannel],
    return_dto=None,
    tags=["channels"],
    summary="Create a channel; the caller is its first member",
    responses=_problems(400, 409, 413),
)
async def create_channel(request: Caller, data: JSONBody[CreateChannel], commands: CommandsGiven) -> ChannelAnswer:
    """Create a channel."""
    return await commands.create_channel(request.user, data)


@post(
    "/channels.join",
    dto=StrictBody[ChannelRequest],
    return_dto=None,
    status_code=200,
    tags=["channels"],
    summary="Become a member of a public channel",
    responses=_problems(400, 403, 404, 413),
)
async def join_channel(request: Caller, data: JSONBody[ChannelRequest], commands: CommandsGiven) -> ChannelAnswer:
    """Join a channel."""
    return await commands.join(request.user, data)


@post(
    "/channels.leave",
    dto=StrictBody[ChannelRequest],
    return_dto=None,
    status_code=200,
    tags=["channels"],
    summary="Be a member no more",
    responses=_problems(400, 404, 413),
)
async def leave_channel(request: Caller, data: JSONBody[ChannelRequest], commands: CommandsGiven) -> ChannelAnswer:
    """Leave a channel."""
    return await commands.leave(request.user, data)


@post(
    "/channels.invite",
    dto=StrictBody[InviteRequest],
    return_dto=None,
    status_code=200,
    tags=["channels"],
    summary="Make others members of a channel that the caller is in",
    responses=_problems(400, 403, 404, 413),
)
async def invite(request: Caller, data: JSONBody[InviteRequest], commands: CommandsGiven) -> ChannelAnswer:
    """Invite others."""
    return await commands.invite(request.user, data)


@get(
    "/channels.history",
    tags=["channels"],
    summary="A page of a channel's messages, newest first",
    responses=_problems(400, 403),
)
async def history(
    request: Caller,
    queries: QueriesGiven,
    channel: FromQuery[str],
    before: FromQuery[str | None] = None,
    after: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MAX_PAGE)] = 50,
) -> History:
    """Read a channel."""
    return await queries.history(request.user, HistoryRequest(channel, before, after, cursor, limit))


@get(
    "/realtime.connect",
    tags=["realtime"],
    summary="The WebSocket address of the instance with most room",
    responses=_problems(),
)
async def connect(queries: QueriesGiven) -> RealtimeAddress:
    """Find an instance."""
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
        middleware=[admit],
        security=[{"token": []}],
    )
