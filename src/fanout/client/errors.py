"""The errors of the client, as one tree under `fanout.FanoutError`.

ClientError
├── SessionEnded          the client will not connect again by itself
│   ├── TokenRefused      the server refuses the token, also a renewed one
│   ├── DeviceReplaced    the same device has connected elsewhere
│   ├── DeviceDeregistered  the device was removed; `devices.register` brings it back
│   └── ProtocolViolation  one side sent a frame that the other cannot read
├── InvalidAddress        a string that is no address to connect to (also a ValueError)
├── InvalidResumePoint    what was imported is no resume point (also a ValueError)
├── OutboxFull            too much waits to be sent; it can be tried again when the connection is back
└── ClientClosed          the client was closed, or has not been started
"""

from fanout.errors import FanoutError


class ClientError(FanoutError):
    """The root of the errors of the client."""


class SessionEnded(ClientError):  # noqa: N818 - the field's names end in what is wrong, not in "Error"
    """The client will not connect again by itself: a new attempt would end in the same way.

    Args:
        text: why, for people.
        code: the close code of the server; None if the client itself ended the session.

    Attributes:
        code: as given.
    """

    def __init__(self, text: str, code: int | None = None) -> None:
        super().__init__(text if code is None else f"{text} ({code})")
        self.code = code


class TokenRefused(SessionEnded):
    """The server refuses the token, and there is no newer one."""


class DeviceReplaced(SessionEnded):
    """The same device id has connected again, elsewhere. Connecting again would close that connection in turn."""


class DeviceDeregistered(SessionEnded):
    """The device was removed from the user's devices. The REST call `devices.register` registers it again."""


class ProtocolViolation(SessionEnded):
    """One side sent a frame that the other side cannot read: a program error, or versions that do not fit together."""


class InvalidAddress(ClientError, ValueError):  # noqa: N818
    """A string is no address, or none of the kind that is needed."""


class InvalidResumePoint(ClientError, ValueError):  # noqa: N818
    """The bytes are no resume point that `ResumePoint.encode` has made."""


class OutboxFull(ClientError):  # noqa: N818
    """More waits to be sent than the client keeps. Nothing was added."""


class ClientClosed(ClientError):  # noqa: N818
    """The client was closed, or not started with `async with`."""
