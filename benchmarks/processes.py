"""Processes that a benchmark starts: programs with a log, and Python functions that exchange messages with it.

All of them end with the benchmark, however it ends, and an interruption from the keyboard reaches the benchmark alone.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Pipe
from tempfile import TemporaryFile
from typing import Any, Final, NamedTuple, Self, TypeVar, cast

from benchmarks.errors import BenchError

READY: Final = "ready"
"""Sent by a worker that can begin, and to a worker that waits to go on."""
_LOG_BYTES: Final = 2_000
_OUT_OF_MEMORY: Final = (-signal.SIGKILL, -signal.SIGABRT)
"""The system kills a process that takes too much; the engine aborts when it is refused more."""
_TETHER: Final = """
import ctypes, os, signal, sys
signal.pthread_sigmask(signal.SIG_SETMASK, [])
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Blocks no signal, asks the kernel to kill this process when its parent ends (prctl 1 is PR_SET_PDEATHSIG, which
outlives the exec), and becomes the command. If the parent is another process already, the parent ended before the
request."""
_SNIPPET: Final = "from benchmarks.processes import main; main()"
_RUNNING: Final[set[subprocess.Popen[bytes]]] = set()
"""Those that were started and have not been waited for. A signal may come before the context of one is entered."""

R = TypeVar("R")
S = TypeVar("S")


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Let SIGINT and SIGTERM wait until the context ends."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_all() -> None:
    """Kill every process that still runs, and wait for its end."""
    for process in list(_RUNNING):
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()  # its data are of no more use
    process.wait()
    _RUNNING.discard(process)


class Program:
    """A program that runs for the length of the context, and is killed at its end.

    `settings` are added to its environment, which is this process's without Fanout's settings; the descriptors
    `inherited` stay open in it.
    """

    def __init__(
        self, name: str, command: Sequence[str], settings: Mapping[str, str] = {}, inherited: Sequence[int] = ()
    ) -> None:
        self.name = name
        self._log = TemporaryFile()  # noqa: SIM115 - as long as the process, and closed with it
        with signals_blocked():
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, and programs that were looked for
                [sys.executable, "-ISc", _TETHER, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env={key: value for key, value in os.environ.items() if not key.startswith("FANOUT_")} | dict(settings),
                pass_fds=inherited,
                start_new_session=True,
            )
            _RUNNING.add(self._process)
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._process)
        self._log.close()

    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def failed(self, how: str) -> BenchError:
        """An error that says what this process did, with the end of its log."""
        size = os.fstat(self._log.fileno()).st_size
        log = os.pread(self._log.fileno(), _LOG_BYTES, max(0, size - _LOG_BYTES))
        return BenchError(f"{self.name} {how}\n{log.decode(errors='replace')}".rstrip())


class _Failure(NamedTuple):
    """Sent by a worker instead of an answer: the run cannot go on."""

    why: str


class Leader:
    """A worker's end of its connection to the benchmark."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self.fileno = connection.fileno
        """Readable when a message waits, or when the benchmark has gone."""

    def send(self, message: object) -> None:
        """Send a message."""
        self._connection.send(message)

    def fail(self, error: BaseException) -> None:
        """Tell the benchmark that the run cannot go on."""
        self.send(_Failure(str(error)))

    def receive(self) -> Any:
        """Wait for the next message; EOFError is raised when the benchmark has gone."""
        return self._connection.recv()

    async def receive_async(self) -> Any:
        """`receive`, while the event loop runs on."""
        return await asyncio.to_thread(self.receive)

    def serve(self, served: object, wait: Callable[[], object]) -> None:
        """Answer calls of an object's methods until the benchmark has gone; `wait` returns when a message waits."""
        while True:
            wait()
            method, args, kwargs = self.receive()
            self.send(getattr(served, method)(*args, **kwargs))

    async def serve_async(self, served: object) -> None:
        """Answer calls of an object's coroutines until the benchmark has gone."""
        while True:
            method, args, kwargs = await self.receive_async()
            self.send(await getattr(served, method)(*args, **kwargs))


class Worker(Program):
    """A function of a module in a Python process of its own, for the length of the context.

    It is called with the settings and its `Leader`, and what it returns is sent, except None. Settings and messages are
    anything that can be pickled. `receive` and `call` wait for `answer_within_s` seconds.
    """

    def __init__(
        self, name: str, function: Callable[[S, Leader], object], settings: S, *, answer_within_s: float = 600.0
    ) -> None:
        self._connection, theirs = Pipe()
        self.fileno = self._connection.fileno
        """Readable when a message waits, or when the worker has gone."""
        self._answer_within_s = answer_within_s
        command = [sys.executable, "-P", "-c", _SNIPPET, str(theirs.fileno())]
        super().__init__(name, command, inherited=[theirs.fileno()])
        theirs.close()
        self.send((function, settings))

    def send(self, message: object) -> None:
        """Send a message."""
        with suppress(ConnectionError):  # `receive` finds out why
            self._connection.send(message)

    def receive(self, kind: type[R]) -> R:
        """Wait for the next message, of the given type; a `BenchError` if the worker failed, ended or is silent."""
        try:
            if not self._connection.poll(self._answer_within_s):
                raise self.failed(f"gave no answer within {self._answer_within_s} s")
            message = self._connection.recv()
        except (EOFError, ConnectionError):
            code = self._process.wait()
            why = ": most likely it ran out of memory" if code in _OUT_OF_MEMORY else ""
            raise self.failed(f"ended with code {code} and without a result{why}") from None
        if isinstance(message, _Failure):
            raise self.failed(f"failed: {message.why}")
        if not isinstance(message, kind):
            raise TypeError(f"{self.name} sent {message!r:.200}, and no {kind.__name__}")
        return message

    def call(self, method: Callable[..., R], *args: object, **kwargs: object) -> R:
        """Call a method of the object that the worker serves; it raises as `receive`."""
        self.send((method.__name__, args, kwargs))
        return cast("R", self.receive(object))

    def call_async(self, method: Callable[..., Coroutine[Any, Any, R]], *args: object, **kwargs: object) -> R:
        """`call`, of a coroutine."""
        return cast("R", self.call(method, *args, **kwargs))


def main() -> None:
    """In a worker: receive the function and its settings, and run it."""
    leader = Leader(Connection(int(sys.argv[1])))
    function, settings = leader.receive()
    with suppress(EOFError, ConnectionError):
        try:
            if (result := function(settings, leader)) is not None:
                leader.send(result)
        except BenchError as error:
            leader.fail(error)
