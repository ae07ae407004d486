"""Health: is the process alive, and is it ready, with each dependency by name."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from fanout.errors import FanoutError

Check = Callable[[], Awaitable[None]]
"""Returns when the dependency answers; raises a `FanoutError`, an `OSError` or a `TimeoutError` otherwise."""

CHECK_TIMEOUT_S: Final = 2.0


class Readiness(msgspec.Struct, frozen=True):
    """The report: `checks` has `ok` or what is wrong, by the dependency's name."""

    ready: bool
    checks: dict[str, str]


class Health:
    """The named checks of a process.

    Args:
        timeout: seconds that each check may take; they run side by side.
    """

    def __init__(self, timeout: float = CHECK_TIMEOUT_S) -> None:
        self._timeout = timeout
        self._checks: dict[str, Check] = {}
        self._draining = False

    def add(self, name: str, check: Check) -> None:
        """Make readiness depend on a check, in place of one of the same name."""
        self._checks[name] = check

    def drain(self) -> None:
        """Be ready no more: the process is stopping."""
        self._draining = True

    async def report(self) -> Readiness:
        """Run every check."""
        results = await asyncio.gather(*map(self._run, self._checks.values()))
        checks = dict(zip(self._checks, results, strict=True))
        if self._draining:
            checks["process"] = "draining"
        return Readiness(all(result == "ok" for result in checks.values()), checks)

    async def _run(self, check: Check) -> str:
        try:
            async with asyncio.timeout(self._timeout):
                await check()
        except TimeoutError:
            return f"no answer within {self._timeout:g} s"
        except (FanoutError, OSError) as error:
            # The text may name an address with its password: the kind must do, the logs have the rest.
            return type(error).__name__
        return "ok"
