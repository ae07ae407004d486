"""Requests: from bytes, or from a query, to one of `fanout.api` in one step, strictly.

Litestar alone would decode JSON to builtins and then convert them leniently, so that `"true"` became `True`.
"""

from collections.abc import Generator
from typing import Any, TypeVar, cast

import msgspec
from litestar.connection import ASGIConnection
from litestar.datastructures import MultiDict
from litestar.dto import AbstractDTO, DTOConfig
from litestar.dto.data_structures import DTOFieldDefinition
from litestar.handlers import BaseRouteHandler
from litestar.openapi.spec import Reference, Schema
from litestar.typing import FieldDefinition

from fanout.api import InvalidRequest, Request
from services.gateway.wording import faults

T = TypeVar("T")
RequestT = TypeVar("RequestT", bound=Request)


class StrictBody(AbstractDTO[T]):
    """The `data` of every handler below it, of the type that the handler says; in brackets, what these share."""

    config = DTOConfig()

    def decode_bytes(self, value: bytes) -> Any:
        """The request.

        Raises:
            InvalidRequest: the bytes are no JSON, or not of the type.
        """
        handler = cast("BaseRouteHandler", self.asgi_connection.route_handler)
        return read_body(value, cast("FieldDefinition", handler.parsed_data_field).annotation)

    @classmethod
    def create_for_field_definition(cls, *_args: Any, **_kwargs: Any) -> None:
        """Nothing to prepare: the type decodes itself."""

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any
    ) -> Reference | Schema:
        """The schema of the type itself."""
        del handler_id
        schema: Reference | Schema = schema_creator.for_field_definition(field_definition)
        return schema

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Generator[DTOFieldDefinition, None, None]:
        """None: no transfer model is made."""
        del model_type
        yield from ()

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        """None is ever looked for."""
        del field_definition
        return False


def read_body(body: bytes, kind: type[RequestT]) -> RequestT:
    """The request that a body is.

    Raises:
        InvalidRequest: it is no JSON, or not of the type.
    """
    try:
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.ValidationError as error:
            raise _invalid(error, faults(msgspec.json.decode(body), kind, strict=True)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest("malformed_json", "the body is not JSON that this server reads") from error


def read_query(connection: ASGIConnection[Any, Any, Any, Any], kind: type[RequestT]) -> RequestT:
    """The request that a query is.

    Raises:
        InvalidRequest: it is not of the type, or has a parameter twice.
    """
    query: MultiDict[str] = connection.query_params
    given = query.dict()
    if any(len(values) > 1 for values in given.values()):
        raise InvalidRequest("invalid_request", "give each parameter once")
    values = {name: value for name, (value,) in given.items()}
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error, faults(values, kind, strict=False)) from error


class NoParameters(Request, frozen=True):
    """The query of a call that takes none."""


def without_query(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """A guard: refuses every query parameter, as an unknown field of a body is refused."""
    read_query(connection, NoParameters)


def _invalid(error: msgspec.ValidationError, found: list[str]) -> InvalidRequest:
    # Where each field is good by itself, it is the request's own check that failed, which speaks for itself.
    return InvalidRequest("invalid_request", "; ".join(found) or str(error))
