"""Measuring in a process of its own: what else this process holds does not count, and a failure takes nothing along."""

import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from inspect import signature
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar, get_type_hints

import msgspec

from benchmarks.errors import BenchError

_NEARLY: Final = 0.99
"""The most that is told of a measurement that goes on: 1 stops the clock."""
_OUT_OF_MEMORY: Final = (-signal.SIGKILL, -signal.SIGABRT)
"""The system kills a process that takes too much; the engine aborts when it is refused more."""
_INTERRUPTED: Final = 130
"""As shells have it; the process that started this one was interrupted too, and says so."""
_SNIPPET: Final = "from benchmarks.apart import main; main()"


class Progress(Protocol):
    """Told how far a measurement is."""

    def __call__(self, share: float, what: str) -> None:
        """Share from 0 to 1 of what is being done."""


Stages = Callable[[str], Progress]
"""Takes the title of the next stage of a run, and gives what is told how far that is: 1 when it has ended."""

P = ParamSpec("P")
R = TypeVar("R", bound=msgspec.Struct)


class Line(msgspec.Struct, omit_defaults=True):
    """What a measuring process prints: how far it is, and at last its result, or why there is none."""

    share: float = 0.0
    what: str = ""
    result: msgspec.Raw = msgspec.Raw()
    refusal: str | None = None


def run_apart(
    progress: Progress, measurement: Callable[Concatenate[Progress, P], R], *args: P.args, **kwargs: P.kwargs
) -> R:
    """Run a measurement in a new interpreter.

    Args:
        progress: told how far it is; 1 when the result is there, and not before.
        measurement: a function of a module, annotated; its first argument is a progress of its own.
        *args: its other arguments, which msgspec can encode.
        **kwargs: and those by name.

    Raises:
        BenchError: the process ended without a result; the text says how.
    """
    name = f"{measurement.__module__}:{measurement.__qualname__}"
    given = signature(measurement).bind(progress, *args, **kwargs).arguments
    settings = msgspec.json.encode(dict(list(given.items())[1:])).decode()
    command = [sys.executable, "-P", "-c", _SNIPPET, name, settings]
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
    result: R = msgspec.json.decode(last.result, type=get_type_hints(measurement)["return"])
    return result


def main() -> None:
    """In the new interpreter: run the measurement that the arguments name, with the settings that they give."""
    name, settings = sys.argv[1:]
    module, _, function = name.partition(":")
    measurement: Any = getattr(import_module(module), function)
    types = get_type_hints(measurement)
    given = {
        argument: msgspec.convert(value, types[argument], str_keys=True)
        for argument, value in msgspec.json.decode(settings).items()
    }
    try:
        result = measurement(lambda share, what: _print(Line(share=share, what=what)), **given)
    except BenchError as error:
        _print(Line(refusal=str(error)))
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
    else:
        _print(Line(result=msgspec.Raw(msgspec.json.encode(result))))


_line = msgspec.json.Decoder(Line)


def _last_line(process: "subprocess.Popen[bytes]", progress: Progress) -> Line:
    line = Line()
    for line in map(_line.decode, process.stdout or ()):
        if not line.result and line.refusal is None:
            progress(min(line.share, _NEARLY), line.what)
    return line


def _why(code: int) -> str:
    return ": most likely it ran out of memory" if code in _OUT_OF_MEMORY else ""


def _print(line: Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.flush()
