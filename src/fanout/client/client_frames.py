"""The frames that a client sends, as text."""

import msgspec


def encode(frame_type: str, **fields: object) -> str:
    """A frame of the client.

    Args:
        frame_type: the value of the field `type`.
        fields: the other fields.
    """
    return msgspec.json.encode({"type": frame_type, **fields}).decode()
