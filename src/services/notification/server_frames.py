"""The frames that an instance composes itself, as JSON in a WebSocket text frame. Contract section 3."""

from fanout import text_frame
from fanout.events import encode


def server_frame(frame_type: str, **fields: object) -> bytes:
    """Encode one JSON object as a WebSocket text frame.

    Args:
        frame_type: the value of the field `type`.
        fields: the other fields. A field whose value is None is left out.
    """
    present = {name: value for name, value in fields.items() if value is not None}
    return text_frame(encode({"type": frame_type, **present}))
