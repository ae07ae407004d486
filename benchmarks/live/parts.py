"""The parts of a measurement that run side by side, each in a process of its own.

A part is a function with settings and a `Stage`; it says when it is ready, may wait for its cue, and returns a result.
"""

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Final, Generic, TypeVar, cast, get_type_hints

import msgspec

from benchmarks.apart import Line
from benchmarks.errors import BenchError
from benchmarks.live.children import Child, stopped_after

_HOME: Final = "benchmarks.live."
_SNIPPET: Final = "from benchmarks.live.parts import main; main()"
_READY: Final = "ready"
_CUE: Final = b"\n"
_CUE_FD: Final = 0
_BLOCK: Final = 1 << 20
_LOG_CHARACTERS: Final = 1_000

S = TypeVar("S", bound=msgspec.Struct)
R = TypeVar("R", bound=msgspec.Struct)


class Stage:
    """What a part has of the process that started it."""

    cue_fd: Final = _CUE_FD
    """Readable once the cue was given, for a part that waits for other things as well."""

    def __init__(self, output: int) -> None:
        self._output = output

    def ready(self) -> None:
        """Say that the others may begin."""
        self.write(Line(what=_READY))

    def wait(self) -> bytes:
        """Wait for the cue; what came with it.

        Raises:
            BenchError: whoever would give it is gone.
        """
        said = b""
        while not said.endswith(_CUE):
            more = os.read(self.cue_fd, _BLOCK)
            if not more:
                raise BenchError("nobody is there any more who would say when to go on")
            said += more
        return said.removesuffix(_CUE)

    def write(self, line: Line) -> None:
        """Tell the process that started this one."""
        rest = memoryview(msgspec.json.encode(line) + b"\n")
        while rest:
            rest = rest[os.write(self._output, rest) :]


class Part(Generic[R]):
    """A part as the process sees it that started it."""

    def __init__(self, child: Child, result: type[R]) -> None:
        self._child = child
        self._input = cast("IO[bytes]", child.process.stdin)
        self._output = cast("IO[bytes]", child.process.stdout)
        self._type = result
        self._unread = b""

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._child.pid

    def await_ready(self, within_s: float) -> None:
        """Return when it is ready.

        Raises:
            BenchError: it cannot be, or not in time.
        """
        while self._line(within_s).what != _READY:
            pass

    def cue(self, said: bytes = b"") -> None:
        """Let it go on."""
        self._input.write(said + _CUE)
        self._input.flush()

    def result(self, within_s: float) -> R:
        """Wait for what it returns.

        Raises:
            BenchError: it refused, broke, or takes longer.
        """
        deadline = time.monotonic() + within_s
        while not (line := self._line(deadline - time.monotonic())).result:
            pass
        return msgspec.json.decode(line.result, type=self._type)

    def _line(self, within_s: float) -> Line:
        deadline, output = time.monotonic() + within_s, self._output.fileno()
        while b"\n" not in self._unread:
            if not select.select([output], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise self._child.refused("takes too long:")
            more = os.read(output, _BLOCK)
            if not more:
                self._child.kill()
                raise self._child.refused(f"ended with code {self._child.process.returncode} and without a result:")
            self._unread += more
        text, _, self._unread = self._unread.partition(b"\n")
        line = msgspec.json.decode(text, type=Line)
        if line.refusal is not None:
            raise BenchError(f"{line.refusal}\n{self._child.log()[-_LOG_CHARACTERS:]}".rstrip())
        return line


@contextmanager
def playing(
    function: Callable[[S, Stage], R], settings: S, result: type[R], name: str, folder: Path
) -> Iterator[Part[R]]:
    """Run a part beside this process; it is stopped with the context.

    Args:
        function: of a module of `benchmarks.live`.
        settings: its first argument.
        result: the type of what it returns.
        name: for messages and its log.
        folder: where its log goes.
    """
    where = f"{function.__module__}:{function.__qualname__}"
    command = [sys.executable, "-P", "-c", _SNIPPET, where, msgspec.json.encode(settings).decode()]
    child = Child(name, command, folder, piped=True)
    with child.process, stopped_after(child):
        yield Part(child, result)


def main() -> None:
    """The other side: play the part that the arguments name, with the settings that they give."""
    stage = Stage(_own_output())
    name, settings = sys.argv[1:]
    module, _, function = name.partition(":")
    if not module.startswith(_HOME):
        raise SystemExit(f"{name} is no part")
    part: Any = getattr(import_module(module), function)
    try:
        result = part(msgspec.json.decode(settings, type=get_type_hints(part)["settings"]), stage)
    except BenchError as error:
        stage.write(Line(refusal=str(error)))
    else:
        stage.write(Line(result=msgspec.Raw(msgspec.json.encode(result))))


def _own_output() -> int:
    """Standard output for lines alone: whatever else is printed goes where errors go."""
    output = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return output
