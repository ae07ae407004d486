"""Embedded adapters suspend as a client of a real server does, so that tests in one process see real interleavings."""

import asyncio
import contextlib
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, TypeVar

_Class = TypeVar("_Class", bound=type)
_Method = Callable[..., Coroutine[Any, Any, Any]]

_TAKING: Final = frozenset({"fetch"})
"""A fetch that is cancelled has taken nothing, so nothing may be awaited between the taking and the return."""


def suspending(adapter: _Class) -> _Class:
    """Make each public async method of a class give up the event loop before its effect and after it.

    A call to a server takes effect some time after it was made, and its answer comes some time after that. A call that
    never suspends hides both: other tasks then cannot see the state between, and a cancellation cannot come there.
    Calls of one task, and calls made in one turn of the loop, take effect in the order in which they were made.

    Returns:
        the same class. Methods that it inherits are as they were.
    """
    for name, member in list(vars(adapter).items()):
        if name.startswith("_"):
            continue
        if inspect.iscoroutinefunction(member):
            setattr(adapter, name, _suspend_before(member) if name in _TAKING else _suspend_around(member))
        elif inspect.isasyncgenfunction(member):
            setattr(adapter, name, _suspend_first(member))
    return adapter


def _suspend_before(method: _Method) -> _Method:
    @functools.wraps(method)
    async def call(*args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0)
        return await method(*args, **kwargs)

    return call


def _suspend_around(method: _Method) -> _Method:
    @functools.wraps(method)
    async def call(*args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0)
        try:
            answer = await method(*args, **kwargs)
        except Exception:
            await asyncio.sleep(0)
            raise
        await asyncio.sleep(0)
        return answer

    return call


def _suspend_first(method: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
    @functools.wraps(method)
    async def call(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(0)
        async with contextlib.aclosing(method(*args, **kwargs)) as items:  # type: ignore[type-var]
            async for item in items:
                yield item

    return call
