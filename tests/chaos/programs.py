"""Programs that run beside a storm: they tell how far they are as lines of JSON, and end when their input does."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
TELL_EVERY_S = 0.25
_END_WITHIN_S = 30.0


class Program:
    """Another process, `python -m tests.chaos.{name}`, seen from its starter.

    It dies with its starter, whatever ends that: its input is a pipe from there.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.told: dict[str, Any] = {}
        """The last that it told of each figure."""
        self._process = process
        self._news = asyncio.Event()
        self._listening = asyncio.create_task(self._listen(), name=f"listening to {name}")

    @classmethod
    async def start(cls, name: str, *arguments: str) -> Self:
        """Start it."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", f"tests.chaos.{name}", *arguments),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C at the terminal is its starter's to heed
        )
        return cls(name, process)

    async def tells(self, figure: str, wanted: Callable[[Any], bool], within_s: float) -> Any:
        """Wait until a figure is as wanted, and return it."""
        async with asyncio.timeout(within_s):
            while figure not in self.told or not wanted(self.told[figure]):
                assert not self._listening.done(), f"{self.name} ended by itself"
                self._news.clear()
                await self._news.wait()
        return self.told[figure]

    async def end(self) -> None:
        """Let it finish, and wait until it has."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_END_WITHIN_S):
                await self._process.wait()
        finally:
            if self._process.returncode is None:
                self._process.kill()
            await self._listening
        assert self._process.returncode == 0, f"{self.name} failed; what it wrote stands above"

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.told.update(json.loads(line))
            self._news.set()
        self._news.set()


def tell(**figures: Any) -> None:
    """Tell the starter."""
    print(json.dumps(figures), flush=True)


def run_until_input_ends(work: Callable[[], Awaitable[None]]) -> None:
    """Run an endless coroutine until the starter of this process ends it."""
    asyncio.run(_until_input_ends(work))


async def _until_input_ends(work: Callable[[], Awaitable[None]]) -> None:
    input_ends = asyncio.ensure_future(_input_ends())
    working = asyncio.ensure_future(work())
    await asyncio.wait({input_ends, working}, return_when=asyncio.FIRST_COMPLETED)
    if working.done():
        await working  # raises what it failed of
    working.cancel()
    input_ends.cancel()
    await asyncio.gather(working, input_ends, return_exceptions=True)


async def _input_ends() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(1024):
        pass
