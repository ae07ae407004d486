"""REST calls of people, who repeat what is not answered."""

import asyncio
from typing import Any, Final

from tests.simulation.catching_up import PAUSE_S
from tests.simulation.world import Answer, World

TRIES: Final = 12
"""How often a user repeats a call that was not answered, or was answered by 503."""
UNAVAILABLE: Final = 503


async def call_until_answered(
    world: World, user: str, method: str, path: str, body: dict[str, Any] | None = None
) -> tuple[Answer | None, int]:
    """Make a call, and repeat it until it is answered.

    Returns:
        the answer, which is None or has the status 503 if no try was answered, and how often the call was made.
    """
    answer = None
    for tries in range(1, TRIES + 1):
        answer = await world.call(user, method, path, body)
        if answer is not None and answer.status != UNAVAILABLE:
            return answer, tries
        await asyncio.sleep(world.draw.between(*PAUSE_S))
    return answer, TRIES
