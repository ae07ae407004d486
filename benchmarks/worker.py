"""The other side of `benchmarks.apart`: the process that measures."""

import sys
from importlib import import_module
from typing import Any, Final, get_type_hints

import msgspec

from benchmarks.apart import Line
from benchmarks.errors import BenchError

_HOME: Final = "benchmarks.measure."
_INTERRUPTED: Final = 130
"""As shells have it: the process that started this one was interrupted too, and says so."""


def main() -> None:
    """Run the measurement that the arguments name, with the settings that they give; print lines."""
    name, settings = sys.argv[1:]
    module, _, function = name.partition(":")
    if not module.startswith(_HOME):
        raise SystemExit(f"{name} is no measurement")
    measurement: Any = getattr(import_module(module), function)
    try:
        result = measurement(msgspec.json.decode(settings, type=get_type_hints(measurement)["settings"]), _progress)
    except BenchError as error:
        _print(Line(refusal=str(error)))
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
    else:
        _print(Line(result=msgspec.Raw(msgspec.json.encode(result))))


def _progress(share: float, what: str) -> None:
    _print(Line(share=share, what=what))


def _print(line: Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.flush()
