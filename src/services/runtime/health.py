"""Health: whether the process is ready, and the state of each dependency by name."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import msgspec
import structlog
from msgspec import Meta
from prometheus_client import CollectorRegistry, Gauge

from fanout.errors import FanoutError

Check = Callable[[], Awaitable[None]]
"""Returns when the dependency answers. Raises `Degraded` if the process can work without it for now, and another
`FanoutError`, an `OSError` or a `TimeoutError` if it does not answer."""

CHECK_TIMEOUT_S: Final = 2.0
OK: Final = "ok"

log = structlog.get_logger(__name__)


class Degraded(FanoutError):  # noqa: N818 - as the tree in `fanout.errors`
    """The dependency does not answer, and the process works without it. `/readyz` shows the text: nothing secret."""


class Readiness(msgspec.Struct, frozen=True):
    """The report of `/readyz`."""

    ready: Annotated[bool, Meta(description="Whether the process can do its work.")]
    degraded: Annotated[bool, Meta(description="Whether it is ready though a check says that something is wrong.")]
    checks: Annotated[dict[str, str], Meta(description="`ok` or what is wrong, by the name of the dependency.")]


class _Entry(msgspec.Struct):
    check: Check
    required: bool


class _Result(msgspec.Struct, frozen=True):
    text: str
    hinders: bool
    """Whether the process is not ready because of it."""


class Health:
    """The named checks of a process.

    Args:
        timeout: seconds that each check may take. The checks run concurrently.
        registry: gets the metrics; None: there are none.
    """

    def __init__(self, timeout: float = CHECK_TIMEOUT_S, registry: CollectorRegistry | None = None) -> None:
        self._timeout = timeout
        self._checks: dict[str, _Entry] = {}
        self._hinders = ""
        """Why the process is not ready, independently of its checks; empty if it may be ready."""
        registry = registry or CollectorRegistry()
        self._ready = Gauge("fanout_ready", "Whether the process can do its work", registry=registry)
        self._degraded = Gauge("fanout_degraded", "Whether it is ready though something is wrong", registry=registry)
        self._check_ok = Gauge(
            "fanout_check_ok", "Whether a dependency is good, by its name in /readyz", ["check"], registry=registry
        )

    def add(self, name: str, check: Check, *, required: bool = True) -> None:
        """Add a check. It replaces one of the same name.

        Args:
            name: of the dependency.
            check: returns if the dependency works, and raises if not.
            required: whether the process is not ready without it; otherwise it is degraded. A dependency that one
                service of the process requires stays required.
        """
        known = self._checks.get(name)
        self._checks[name] = _Entry(check, required or (known is not None and known.required))

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Report the process as not ready while the context lasts: its services are starting."""
        self._hinders = "starting"
        yield
        self._hinders = ""

    def drain(self) -> None:
        """Report the process as not ready from now on: it is stopping."""
        self._hinders = "draining"

    async def report(self) -> Readiness:
        """Run every check, and update the metrics."""
        results = dict(zip(self._checks, await asyncio.gather(*map(self._run, self._checks.values())), strict=True))
        if self._hinders:
            results["process"] = _Result(self._hinders, hinders=True)
        ready = not any(result.hinders for result in results.values())
        checks = {name: result.text for name, result in results.items()}
        report = Readiness(ready, ready and any(text != OK for text in checks.values()), checks)
        self._keep(report)
        return report

    async def _run(self, entry: _Entry) -> _Result:
        try:
            async with asyncio.timeout(self._timeout):
                await entry.check()
        except TimeoutError:
            return _Result(f"no answer within {self._timeout:g} s", entry.required)
        except Degraded as error:
            return _Result(str(error), hinders=False)
        except (FanoutError, OSError) as error:
            # The text may contain an address with its password, so only the kind is shown.
            return _Result(type(error).__name__, entry.required)
        except Exception as error:
            log.exception("a health check crashed")
            return _Result(f"unexpected {type(error).__name__}", hinders=True)
        return _Result(OK, hinders=False)

    def _keep(self, report: Readiness) -> None:
        self._ready.set(report.ready)
        self._degraded.set(report.degraded)
        for name, text in {"process": OK, **report.checks}.items():
            self._check_ok.labels(name).set(text == OK)
