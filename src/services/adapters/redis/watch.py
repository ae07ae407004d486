"""A subscription to the hints of presence that is renewed after each loss of the connection."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from fanout.errors import Unavailable
from fanout.ids import check_id
from fanout.keys import PRESENCE_CHANGES, PresenceChange
from fanout.ports.presence import ChangeHandler
from services.adapters.redis.client import TIMEOUT_S
from services.runtime.skipping import guarded, skip
from services.runtime.tasks import Tasks, retry_forever

QUIET_S: Final = 5.0
"""Seconds without a notice after which the server is asked whether it still answers."""
PAUSE_S: Final = 1.0
"""Seconds before the next attempt after an unexpected error, which may come again at once."""

log = structlog.get_logger(__name__)


class Watch:
    """Receives hints until it is closed. Those sent while there is no connection are lost."""

    def __init__(
        self, client: Redis, channel: str, handler: ChangeHandler, on_close: Callable[["Watch"], None]
    ) -> None:
        self._client = client
        self._channel = channel
        self._handler = guarded(PRESENCE_CHANGES, handler)
        self._on_close = on_close
        self._closed = False
        self._tasks = Tasks(on_failure=lambda _: None)  # `_run` goes on after every error

    @classmethod
    async def open(
        cls, client: Redis, channel: str, handler: ChangeHandler, on_close: Callable[["Watch"], None]
    ) -> "Watch":
        """Subscribe, and return when the server has confirmed.

        Args:
            client: provides the connection.
            channel: the pub/sub channel of the hints.
            handler: gets each notice that is well formed.
            on_close: called when the watch is closed.

        Raises:
            Unavailable: the server does not answer.
        """
        watch = cls(client, channel, handler, on_close)
        watch._tasks.start(watch._run(await watch._subscribe()), "presence-watch")
        return watch

    async def close(self) -> None:
        """End the subscription."""
        self._closed = True
        await self._tasks.cancel()
        self._on_close(self)

    async def _run(self, pubsub: PubSub) -> None:
        while True:
            try:
                await self._hear(pubsub)
            except (RedisError, OSError, Unavailable) as error:
                log.warning("no hints of presence are received for now", reason=str(error))
            except Exception:
                # An error of the program, not of Redis or the network. The hints must still be received again.
                log.exception("no hints of presence are received for now: unexpected error")
                await asyncio.sleep(PAUSE_S)
            finally:
                await _close(pubsub)
            pubsub = await retry_forever(self._subscribe, "watching presence")
            log.info("hints of presence are received again")

    async def _subscribe(self) -> PubSub:
        pubsub = self._client.pubsub()
        try:
            await pubsub.subscribe(self._channel)
            await _answer(pubsub)
        except Exception as error:
            await _close(pubsub)
            raise Unavailable(f"Redis cannot be reached for watch: {error!r}") from error
        except BaseException:
            await _close(pubsub)
            raise
        return pubsub

    async def _hear(self, pubsub: PubSub) -> None:
        while True:
            message = await pubsub.get_message(timeout=QUIET_S)
            if message is None:
                await pubsub.ping()
                message = await _answer(pubsub)
            if message["type"] == "message":
                self._take(message["data"])

    def _take(self, notice: str) -> None:
        try:
            change = PresenceChange.decode(notice)
            check_id(change.user_id, "user_id")
            check_id(change.instance_id, "instance_id")
        except ValueError as error:
            skip("presence_change", error)
            return
        asyncio.get_running_loop().call_soon(self._give, change)

    def _give(self, change: PresenceChange) -> None:
        if not self._closed:
            self._handler(change)


async def _answer(pubsub: PubSub) -> dict[str, Any]:
    message = await pubsub.get_message(timeout=TIMEOUT_S)
    if message is None:
        raise Unavailable("Redis gives no answer")
    return dict(message)


async def _close(pubsub: PubSub) -> None:
    try:
        await pubsub.aclose()  # type: ignore[no-untyped-call]  # the library's own is not annotated
    except (RedisError, OSError) as error:
        log.debug("a subscription cannot be closed cleanly", reason=str(error))
