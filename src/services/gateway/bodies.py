"""Request bodies: from bytes to a request of `fanout.api` in one step, strictly.

Litestar alone would decode JSON to builtins and then convert them leniently, so that `"true"` became `True`.
"""

from collections.abc import Generator
from typing import Any, TypeVar

import msgspec
from litestar.dto import AbstractDTO, DTOConfig
from litestar.dto.data_structures import DTOFieldDefinition
from litestar.openapi.spec import Reference, Schema
from litestar.typing import FieldDefinition

from fanout.api import InvalidRequest

T = TypeVar("T")


class StrictBody(AbstractDTO[T]):
    """A handler's `data` of the type in brackets."""

    config = DTOConfig()

    def decode_bytes(self, value: bytes) -> Any:
        """The request.

        Raises:
            InvalidRequest: the bytes are no JSON, or not of the type.
        """
        try:
            return msgspec.json.decode(value, type=self.model_type)
        except msgspec.ValidationError as error:
            raise InvalidRequest("invalid_request", str(error)) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest("malformed_json", "the body is not JSON that this server reads") from error

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
