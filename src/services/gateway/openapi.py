"""The document at `/openapi.json`: what Litestar writes of the routes, with what it cannot know of them."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from litestar import Litestar, Request
from litestar.openapi import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.routes import HTTPRoute

from fanout import api
from services.runtime.health import Readiness
from services.runtime.problems import MEDIA_TYPE, ProblemDetails

DESCRIPTION: Final = """\
The REST face of the real-time tier. A call under `/api/v1` needs a token in `Authorization: Bearer`.

Errors are RFC 9457 problems: programs go by the `code`, people by the `detail`. Each call names the codes that it can \
give; besides, an unknown path is 404 `not_found`, a method that a path does not take is 405 `method_not_allowed` with \
`Allow`, and what nobody expected is 500 `internal`. Every answer has its `X-Correlation-ID`: the request's, where it \
has one of 1 to 128 of A-Z a-z 0-9 _ . -, or a new one.

Unknown fields and unknown query parameters are refused. Times are RFC 3339, UTC, with milliseconds.
"""

CODES: Final = {
    "invalid_request": (400, "a field is missing, unknown, or not what it must be"),
    "malformed_json": (400, "the body is no JSON"),
    "bad_cursor": (400, "the cursor was not given to this caller for this call and channel"),
    "unknown_message": (400, "the channel has no message of that id"),
    "threads_unavailable": (400, "there are no threads in this version"),
    "token_missing": (401, "there is no bearer token"),
    "token_malformed": (401, "the token is none"),
    "token_algorithm": (401, "it is signed by an algorithm that is not accepted"),
    "token_key": (401, "its key is not known"),
    "token_signature": (401, "its signature is wrong"),
    "token_expired": (401, "it has expired"),
    "token_audience": (401, "it is for another audience"),
    "token_issuer": (401, "another issuer made it"),
    "token_user": (401, "the claim that names its user holds no user id"),
    "token_claims": (401, "another claim is missing or wrong; the detail names it"),
    "not_a_member": (403, "the caller is not a member of the channel"),
    "channel_not_found": (404, "there is no such channel, or it is private and the caller is not in it"),
    "channel_exists": (409, "there is a channel of that id"),
    "body_too_large": (413, "the body is larger than this server takes"),
    "message_too_large": (413, "the message, as it is stored, is longer than this deployment can deliver"),
    "rate_limited": (429, "the caller makes too many requests"),
    "unavailable": (503, "something needed cannot be reached; repeating the call is safe"),
    "outcome_unknown": (
        503,
        "something gave no answer; the call may have been done, and repeating it (same client_msg_id) is safe",
    ),
}
"""What each code means, with its status."""

_ALWAYS: Final = (
    "invalid_request",
    *(code for code in CODES if code.startswith("token_")),
    "rate_limited",
    "unavailable",
)

_RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds to wait.", "required": True, "schema": {"type": "integer", "minimum": 1}}
}
_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "401": {"WWW-Authenticate": {"description": "RFC 6750.", "required": True, "schema": {"type": "string"}}},
    "429": _RETRY_AFTER,
    "503": _RETRY_AFTER,
}

_, _SCHEMAS = msgspec.json.schema_components(
    [
        api.SendMessage,
        api.CreateChannel,
        api.ChannelRequest,
        api.InviteRequest,
        api.SentMessage,
        api.ChannelAnswer,
        api.History,
        api.RealtimeAddress,
        ProblemDetails,
        Readiness,
    ],
    ref_template="#/components/schemas/{name}",
)


def problems(*codes: str) -> dict[int, ResponseSpec]:
    """The errors of a call, by status.

    Args:
        codes: those that it can give beside what every call can.
    """
    meanings: dict[int, list[str]] = {}
    for code in sorted({*_ALWAYS, *codes}, key=list(CODES).index):
        status, meaning = CODES[code]
        meanings.setdefault(status, []).append(f"`{code}`: {meaning}")
    return {
        status: ResponseSpec(
            ProblemDetails, description="; ".join(said), media_type=MEDIA_TYPE, generate_examples=False
        )
        for status, said in meanings.items()
    }


def parameters(kind: type[msgspec.Struct]) -> list[dict[str, Any]]:
    """The query parameters that the fields of `kind` are. None of them takes null, which no query can say."""
    schema = msgspec.json.schema_components([kind])[1][kind.__name__]
    return [
        _parameter(name, _without_null(described), required=name in schema.get("required", ()))
        for name, described in schema["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    return dict(schema["anyOf"][0]) if "anyOf" in schema else dict(schema)


def _parameter(name: str, schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    description = schema.pop("description")
    return {"name": name, "in": "query", "required": required, "description": description, "schema": schema}


class Document(JsonRenderPlugin):
    """Litestar's document with the schemas that the requests are judged by, and what its decorators have no words for.

    Litestar sees no bound of a list's items, no header of an error, and no query that a handler reads whole.
    """

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The document, as bytes. Litestar hands out the same one each time, so what is set in it may be set again."""
        openapi_schema["components"]["schemas"] = _SCHEMAS
        for path, query in _queries(request.app):
            openapi_schema["paths"][path]["get"]["parameters"] = parameters(query)
        for path, operations in openapi_schema["paths"].items():
            for operation in operations.values() if path.startswith("/api/") else ():
                for status, headers in _HEADERS.items():
                    operation["responses"][status]["headers"] = headers
        return super().render(request, openapi_schema)


def _queries(app: Litestar) -> Iterator[tuple[str, type[api.Request]]]:
    for route in app.routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            if "query" in handler.opt:
                yield route.path, handler.opt["query"]


def openapi_config(version: str) -> OpenAPIConfig:
    """Serves the document at `/openapi.json`.

    Args:
        version: of the API.
    """
    return OpenAPIConfig(
        title="Fanout",
        version=version,
        description=DESCRIPTION,
        path="/openapi.json",
        render_plugins=[Document(path="/")],
        use_handler_docstrings=True,
        components=Components(
            security_schemes={"token": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
        ),
    )
