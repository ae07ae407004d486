"""HEAD, answered wherever GET is: as GET, without the body."""

from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send


def answers_head(app: ASGIApp) -> ASGIApp:
    """The application, which gets each HEAD as a GET; RFC 9110, section 9.3.2.

    Args:
        app: answers GET.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] != "HEAD":
            await app(scope, receive, send)
            return
        as_get: Any = {**scope, "method": "GET"}  # the server keeps its own, by which it sends no body
        await app(as_get, receive, _without_body(send))
        # What the application notes of the request is read behind it.
        scope.update({name: value for name, value in as_get.items() if name != "method"})  # type: ignore[typeddict-item]

    return answer


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head
