import pytest

from tests.simulation.calls import TRIES, call_until_answered
from tests.simulation.world import Answer, World
from tests.support.simulated import in_world


@pytest.mark.parametrize(
    ("answers", "status", "tries"),
    [
        ([Answer(200, {})], 200, 1),
        ([None, Answer(503, {}), Answer(404, {})], 404, 3),
        ([Answer(503, {})] * TRIES, 503, TRIES),
        ([None] * TRIES, 0, TRIES),
    ],
)
def test_a_call_is_repeated_until_it_is_answered(answers: list[Answer | None], status: int, tries: int) -> None:
    async def work(world: World) -> None:
        left = list(answers)

        async def call(*_arguments: object) -> Answer | None:
            return left.pop(0)

        world.call = call  # type: ignore[method-assign, assignment]
        answer, made = await call_until_answered(world, "ann", "GET", "unread.counts")
        assert (answer.status if answer else 0, made) == (status, tries)
        assert left == []

    in_world(work)
