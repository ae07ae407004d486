"""Tests that run on each event loop: asyncio's own, and uvloop, on which the services run."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

Loop = Callable[[], asyncio.AbstractEventLoop]

LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
TURNS = 6
"""More turns of the loop than pass between the loss of a connection and its notice."""


def run_on(loop: Loop, main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on a loop of its own."""
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main)
