"""Messages for the sender of an invalid request: which field is wrong, and what it must be.

A valid request never comes here: msgspec decodes and validates it in one step. Only a request that msgspec refused is
checked again, field by field.
"""

from typing import Any, Final

import msgspec
from msgspec import inspect

SHOWN_NAMES: Final = 5
SHOWN_NAME: Final = 40
"""A message repeats at most this many unknown names of the client, and of each this many characters."""


def faults(given: Any, kind: type[msgspec.Struct], *, strict: bool) -> list[str]:
    """A message for each field that is wrong.

    Args:
        given: the request, decoded to builtins.
        kind: the type that the request should have.
        strict: whether a number must be a JSON number; otherwise a text with its digits is valid too.

    Returns:
        the messages; none where each field is valid by itself.
    """
    if not isinstance(given, dict):
        return ["the body must be a JSON object"]
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    unknown = [name for name in given if name not in fields][:SHOWN_NAMES]
    missing = [name for name, field in fields.items() if field.required and name not in given]
    wrong = [
        (name, field)
        for name, field in fields.items()
        if name in given and not _fits(given[name], field.type, strict=strict)
    ]
    return [
        *(f"unknown field '{name[:SHOWN_NAME]}'" for name in unknown),
        *(f"{name} is missing" for name in missing),
        *(f"{name} must be {form(inspect.type_info(field.type))}" for name, field in wrong),
    ]


def form(kind: inspect.Type) -> str:
    """The words that follow "must be" for values of this type.

    Raises:
        TypeError: this module has no words for this type.
    """
    match kind:
        case inspect.Metadata(extra={"form": str(words)}):
            return words
        case inspect.Metadata(type=inner) | inspect.UnionType(types=(inner, inspect.NoneType())):
            return form(inner)
        case inspect.StrType(min_length=low, max_length=high):
            return "text" if high is None else f"{low or 0:,} to {high:,} characters"
        case inspect.IntType(ge=int(low), le=int(high)):
            return f"a whole number from {low:,} to {high:,}"
        case inspect.BoolType():
            return "true or false"
        case inspect.ListType(item_type=item, min_length=low, max_length=int(high)):
            each = "" if isinstance(item, inspect.AnyType) else f", each {form(item)}"
            return f"a list of {low or 0} to {high:,}{each}"
        case _:
            raise TypeError(f"no words for {kind}")


def _fits(value: object, kind: Any, *, strict: bool) -> bool:
    try:
        msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError:
        return False
    return True
