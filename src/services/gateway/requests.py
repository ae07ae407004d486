"""Requests: from a body, a query and the parts of a path to a request of `fanout.api`, in one step, strictly."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from fanout.api.calls import Call
from fanout.api.common import NoFields, Request
from fanout.error_codes import INVALID_REQUEST, MALFORMED_JSON
from fanout.errors import CallRejected
from services.gateway.wording import faults
from services.runtime.exchange import Exchange

Reading = Callable[[Exchange, Mapping[str, str]], Awaitable[Any]]
"""Reads the request of a call; the mapping has the parts of the path by name."""

_NOTHING: Final = NoFields()


def reading(call: Call[Any, Any], max_body: int) -> Reading:
    """Make the function that reads the requests of a call.

    Args:
        call: the row.
        max_body: bytes that the deployment takes at most.
    """
    limit = max_body if call.max_body is None else min(max_body, call.max_body)
    decoder = msgspec.json.Decoder(call.request)

    async def read_body(exchange: Exchange, parts: Mapping[str, str]) -> Request:
        if exchange.query:
            request_of_query(exchange.query, {}, NoFields)
        return request_of_body(await exchange.body(limit), parts, decoder)

    async def read_query(exchange: Exchange, parts: Mapping[str, str]) -> Request:
        return request_of_query(exchange.query, parts, call.request)

    return read_body if call.takes_body else read_query


def request_of_body(body: bytes, parts: Mapping[str, str], decoder: msgspec.json.Decoder[Any]) -> Request:
    """The request that a body is.

    Args:
        body: JSON.
        parts: fields of the request that the path has; the body may not have them too.
        decoder: of the type of the request.

    Raises:
        CallRejected: the body is not JSON, or not of the type.
    """
    if not body:
        raise CallRejected(INVALID_REQUEST, "a JSON body is needed")
    try:
        try:
            return _with_parts(body, parts, decoder.type) if parts else decoder.decode(body)
        except msgspec.ValidationError as error:
            given = _merged(msgspec.json.decode(body), parts)
            raise _invalid(error, faults(given, decoder.type, strict=True)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CallRejected(MALFORMED_JSON) from error


def request_of_query(query: bytes, parts: Mapping[str, str], kind: type[Request]) -> Request:
    """The request that a query is.

    Args:
        query: as it was sent.
        parts: fields of the request that the path has; the query may not have them too.
        kind: the type of the request.

    Raises:
        CallRejected: the query is not of the type, or has a parameter twice.
    """
    if not query and kind is NoFields:
        return _NOTHING
    given = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    values = dict(given)
    if len(values) < len(given) or values.keys() & parts.keys():
        raise CallRejected(INVALID_REQUEST, "give each parameter once")
    values |= parts
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error, faults(values, kind, strict=False)) from error


def _with_parts(body: bytes, parts: Mapping[str, str], kind: type[Request]) -> Request:
    given = msgspec.json.decode(body)
    if isinstance(given, dict) and given.keys() & parts.keys():
        raise CallRejected(INVALID_REQUEST, f"{', '.join(parts)} is in the path; leave it out of the body")
    return msgspec.convert(_merged(given, parts), kind)


def _merged(given: Any, parts: Mapping[str, str]) -> Any:
    return {**given, **parts} if isinstance(given, dict) else given


def _invalid(error: msgspec.ValidationError, found: list[str]) -> CallRejected:
    # Where each field is good by itself, the request's own check has failed, and its text says what is wrong.
    return CallRejected(INVALID_REQUEST, "; ".join(found) or str(error))
