"""Injected faults: they happen with a real server now and then, and with embedded adapters as often as configured."""

import asyncio
import random


class FaultInjection:
    """The odds of each fault. The same seed and the same calls give the same faults.

    Only durable consumers see events again and lose acknowledgements, and only the bus drops messages. Tails and
    partition readers are delayed, and have no other faults.

    Args:
        seed: of the random numbers.
        redeliver: odds, from 0 to below 1, that a delivered or acknowledged event is delivered again at once.
        duplicate: odds that a batch contains an event twice.
        lose_ack: odds that an acknowledgement is lost, so that the event is delivered again after the ack wait.
        drop: odds that one subscriber of the bus misses a message.
        delay: odds that a fetch is delayed.
        longest_delay: seconds of the longest delay.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        redeliver: float = 0.0,
        duplicate: float = 0.0,
        lose_ack: float = 0.0,
        drop: float = 0.0,
        delay: float = 0.0,
        longest_delay: float = 0.01,
    ) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable, and no secret
        self._redeliver = redeliver
        self._duplicate = duplicate
        self._lose_ack = lose_ack
        self._drop = drop
        self._delay = delay
        self._longest_delay = longest_delay

    def redelivers(self) -> bool:
        """Whether this event is delivered again at once."""
        return self._happens(self._redeliver)

    def duplicates(self) -> bool:
        """Whether the batch contains this event twice."""
        return self._happens(self._duplicate)

    def loses_ack(self) -> bool:
        """Whether this acknowledgement is lost."""
        return self._happens(self._lose_ack)

    def drops(self) -> bool:
        """Whether this message does not arrive."""
        return self._happens(self._drop)

    async def hold_back(self) -> None:
        """Delay this fetch, if the odds say so."""
        if self._happens(self._delay):
            await asyncio.sleep(self._random.uniform(0, self._longest_delay))

    def _happens(self, odds: float) -> bool:
        return odds > 0 and self._random.random() < odds
