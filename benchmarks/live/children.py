"""Processes that a benchmark starts: they end with it, however it ends."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from benchmarks.errors import BenchError

_STOP_WITHIN_S: Final = 15.0
_LOG_CHARACTERS: Final = 2_000
_CLOCK_BITS: Final = 3
_PROCESS_CLOCK: Final = 2
"""How clock_getcpuclockid(3) makes the number of a process's clock, all its threads together."""
_TETHER: Final = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Asks the kernel to kill this process when its parent is gone (prctl 1 is PR_SET_PDEATHSIG, which a program that takes
this one's place inherits), and becomes the command. It was too late if the parent is another one already."""


class Child:
    """A process with a log file, in a session of its own: an interruption from the keyboard reaches its parent alone.

    Args:
        name: for messages.
        command: its command line; the program with its path.
        folder: where it runs, and has its log.
        env: its environment; by default this process's.
        piped: whether its standard input and output are this process's to write and read; otherwise it has no input,
            and its output goes to the log.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        env: Mapping[str, str] | None = None,
        *,
        piped: bool = False,
    ) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        tethered = [sys.executable, "-ISc", _TETHER, str(os.getpid()), *command]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - programs that were looked for
                tethered,
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else log,
                stderr=log,
                cwd=folder,
                env=env,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its number."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def log(self) -> str:
        """What it has written to its log."""
        return self._log.read_text(errors="replace")

    def refused(self, what: str) -> BenchError:
        """An error that says what this process did, with the end of its log."""
        return BenchError(f"{self.name} {what}\n{self.log()[-_LOG_CHARACTERS:]}".rstrip())

    def stop(self) -> None:
        """Ask it to end, kill it if it does not, and wait until it has."""
        with suppress(subprocess.TimeoutExpired):
            self.process.terminate()
            self.process.wait(_STOP_WITHIN_S)
        self.kill()

    def kill(self) -> None:
        """End it, and wait until it has."""
        self.process.kill()
        self.process.wait()


@contextmanager
def stopped_after(child: Child) -> Iterator[Child]:
    """Stop it when the context ends, and kill it when that is by an error."""
    try:
        yield child
    except BaseException:
        child.kill()
        raise
    child.stop()


def processor_seconds(pid: int) -> float:
    """What a process took of the processors until now, in seconds; 0 of one that is gone."""
    try:
        return time.clock_gettime(~pid << _CLOCK_BITS | _PROCESS_CLOCK)
    except OSError:
        return 0.0
