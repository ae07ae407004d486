"""Measuring in a process of its own: what else this one holds does not count, and a failure takes nothing along."""

import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

import msgspec

from benchmarks.errors import BenchError

_NEARLY: Final = 0.99
"""At most, of a measurement that goes on: whoever is told 1 stops the clock."""
_OUT_OF_MEMORY: Final = (-signal.SIGKILL, -signal.SIGABRT)
"""The system kills what takes too much; the engine aborts when it is refused more."""
_SNIPPET: Final = "from benchmarks.worker import main; main()"


class Progress(Protocol):
    """Told how far a measurement is."""

    def __call__(self, share: float, what: str) -> None:
        """Share from 0 to 1 of what is being done."""


S = TypeVar("S", bound=msgspec.Struct)
R = TypeVar("R", bound=msgspec.Struct)

Measurement = Callable[[S, Progress], R]


class Line(msgspec.Struct, omit_defaults=True):
    """What a measuring process prints: how far it is, at last its result, or why there is none."""

    share: float = 0.0
    what: str = ""
    result: msgspec.Raw = msgspec.Raw()
    refusal: str | None = None


def run_apart(measurement: "Measurement[S, R]", settings: S, result: type[R], progress: Progress) -> R:
    """Run a measurement in a new interpreter.

    Args:
        measurement: a function of a module of `benchmarks.measure`.
        settings: its first argument.
        result: the type of what it returns.
        progress: its second argument, called here; it is told 1 when the result is there, and not before.

    Raises:
        BenchError: the process ended without a result; the text says how.
    """
    name = f"{measurement.__module__}:{measurement.__qualname__}"
    command = [sys.executable, "-P", "-c", _SNIPPET, name, msgspec.json.encode(settings).decode()]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own interpreter
        try:
            last = _last_line(process, progress)
        except BaseException:
            process.kill()
            raise
    if last.refusal is not None:
        raise BenchError(last.refusal)
    if not last.result:
        raise BenchError(f"{name} ended with code {process.returncode} and without a result{_why(process.returncode)}")
    progress(1.0, "")
    return msgspec.json.decode(last.result, type=result)


_line = msgspec.json.Decoder(Line)


def _last_line(process: "subprocess.Popen[bytes]", progress: Progress) -> Line:
    line = Line()
    for line in map(_line.decode, process.stdout or ()):
        if not line.result and line.refusal is None:
            progress(min(line.share, _NEARLY), line.what)
    return line


def _why(code: int) -> str:
    return ": most likely it ran out of memory" if code in _OUT_OF_MEMORY else ""
