"""Reading a stream, such as standard input, in a thread that can be told to stop."""

import io
import os
import select
from typing import Any, Final

_LOOK_EVERY_S: Final = 0.2


class StoppableStream(io.RawIOBase):
    """The bytes of a descriptor. After `stop`, a read that waits for more returns, as at the end of the stream.

    Args:
        descriptor: stays open.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._stopped = False

    def stop(self) -> None:
        """Let reads return nothing from now on."""
        self._stopped = True

    def readable(self) -> bool:
        """It can be read, and nothing else."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what is there, and wait while there is nothing."""
        view = memoryview(buffer)
        while not self._stopped:
            if select.select([self._descriptor], [], [], _LOOK_EVERY_S)[0]:
                return os.readv(self._descriptor, [view])
        return 0
