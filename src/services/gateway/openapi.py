"""The document at `/openapi.json`, made from the table of calls."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from fanout.api.calls import JSON, Call
from fanout.error_codes import ErrorCode
from services.runtime.problems import MEDIA_TYPE as PROBLEM
from services.runtime.problems import ProblemDetails

MEDIA_TYPE: Final = "application/vnd.oai.openapi+json"
VERSION: Final = "3.1.0"
"""The version of OpenAPI."""

DESCRIPTION: Final = """\
The REST API of the real-time tier. A call under `/api/v1` needs a token in `Authorization: Bearer`.

Errors are RFC 9457 problems: programs read the `code`, people the `detail`. Each call lists the codes that it can \
give. In addition, an unknown path is 404 `not_found`, a method that a path does not take is 405 `method_not_allowed` \
with `Allow`, and an unexpected error is 500 `internal`. Every response has `X-Correlation-ID`: that of the request, \
where the request has one of 1 to 128 characters of A-Z a-z 0-9 _ . -, or a new one.

Unknown fields and unknown query parameters are errors. Times are RFC 3339, UTC, with milliseconds.
"""

_RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds to wait.", "required": True, "schema": {"type": "integer", "minimum": 1}}
}
_HEADERS: Final[dict[int, dict[str, Any]]] = {
    401: {"WWW-Authenticate": {"description": "RFC 6750.", "required": True, "schema": {"type": "string"}}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}


def document(calls: Sequence[Call[Any, Any]], version: str) -> bytes:
    """The document, as JSON.

    Args:
        calls: the rows.
        version: of the API.
    """
    types = [ProblemDetails, *(call.response for call in calls), *(call.request for call in calls if call.takes_body)]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(map(str, types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for call in calls:
        paths.setdefault(call.route, {})[call.method.lower()] = _operation(call, schema_of)
    return msgspec.json.encode(
        {
            "openapi": VERSION,
            "info": {"title": "Fanout", "version": version, "description": DESCRIPTION},
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            },
        }
    )


def _operation(call: Call[Any, Any], schema_of: dict[str, Any]) -> dict[str, Any]:
    """The description of a call."""
    response = {"content": {call.media_type: {"schema": schema_of[str(call.response)]}}}
    operation: dict[str, Any] = {
        "tags": [call.tag],
        "summary": call.summary,
        "operationId": call.name,
        "responses": {
            str(int(call.status)): {"description": call.meaning, **response},
            **{str(status): {"description": meaning, **response} for status, meaning in call.other_statuses.items()},
            **_problems(call.all_errors, schema_of[str(ProblemDetails)]),
        },
    }
    if call.description:
        operation["description"] = call.description
    if not call.public:
        operation["security"] = [{"token": []}]
    if listed := _parameters(call):
        operation["parameters"] = listed
    if call.takes_body:
        schema = schema_of[str(call.request)]
        operation["requestBody"] = {"content": {JSON: {"schema": schema}}, "required": True}
    return operation


def _problems(errors: Sequence[ErrorCode], schema: dict[str, Any]) -> dict[str, Any]:
    """The errors of a call, by status."""
    meanings: dict[int, list[str]] = {}
    for error in errors:
        meanings.setdefault(error.status or 0, []).append(f"`{error.code}`: {error.text}")
    return {
        str(status): {
            "description": "; ".join(said),
            "content": {PROBLEM: {"schema": schema}},
            **({"headers": _HEADERS[status]} if status in _HEADERS else {}),
        }
        for status, said in meanings.items()
    }


def _parameters(call: Call[Any, Any]) -> list[dict[str, Any]]:
    """The parts of the path and the query parameters that the fields of a request are."""
    schema = msgspec.json.schema_components([call.request])[1][call.request.__name__]
    return [
        _parameter(name, _without_null(described), required=name in schema.get("required", ()), in_path=in_path)
        for name, described in schema["properties"].items()
        if (in_path := f"{{{name}}}" in call.route) or not call.takes_body
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter: no query can say null."""
    return dict(schema["anyOf"][0]) if "anyOf" in schema else dict(schema)


def _parameter(name: str, schema: dict[str, Any], *, required: bool, in_path: bool) -> dict[str, Any]:
    described = {"description": said} if (said := schema.pop("description", "")) else {}
    return {"name": name, "in": "path" if in_path else "query", "required": required, **described, "schema": schema}
