"""A million joins, leaves, logins and drops at random: the answers stay those of a plain model, and memory returns."""

import hashlib
import random
from array import array
from collections import Counter
from collections.abc import Callable
from time import sleep
from typing import Any, Final

import msgspec

from benchmarks.apart import Progress
from benchmarks.baselines.python_table import PythonTable
from benchmarks.drawing import channel_names
from benchmarks.errors import TablesDifferError
from benchmarks.machine import resident_bytes
from benchmarks.measure.fill import bring_online
from benchmarks.population import Population
from fanout import Engine, MembershipUnknown

_INSTANCES: Final = 20
_INSTANCES_OF_ONE: Final = 3
"""Those between which a visitor moves: few, so that most who leave one were on it."""
_LIST: Final = 200
"""At most, of a visitor who comes online."""
_NEW_CHANNELS: Final = 0.2
"""So many channels that only visitors are in, for each of the population."""
STEPS: Final = {
    "join": (30, "A user became a member of a channel."),
    "leave": (30, "A user is a member of a channel no more."),
    "login": (12, "A user came online with a list of up to 200 channels."),
    "login known": (8, "A user came online, the channels to be known from before: an unknown user is refused."),
    "logout": (16, "A user left an instance."),
    "forget": (3, "A user's cached list was dropped."),
    "drop": (0.05, "An instance was evicted whole."),
}
"""How often each is drawn, in proportion, and what it is."""
_CHECK_EVERY: Final = 10_000
_CHECKED: Final = 20
_WARM_UP: Final = 2_000
SETTLING_S: Final = 2.0
"""The allocator returns pages that were not used for a second, once it is at work again."""
SETTLING_LOGINS: Final = 2_000

Step = tuple[str, str, str, list[str]]
"""What is done, the user, the instance, channels."""


class Moments(msgspec.Struct, frozen=True):
    """Bytes over the time."""

    first: int
    most: int
    last: int
    """When the last visitor had just left."""
    settled: int
    """When the allocator had given back what it keeps for a while."""


class Churned(msgspec.Struct, frozen=True):
    """What became of it."""

    operations: dict[str, int]
    returned: str
    """A digest of what all calls returned."""
    answers_checked: int
    held_bytes: Moments
    """By the engine's own count."""
    resident_bytes: Moments
    """Of the process."""


class _Memory:
    """What the engine and the process hold, looked at now and then."""

    def __init__(self, engine: Engine) -> None:
        self._reads: tuple[Callable[[], int], ...] = (lambda: engine.stats()["bytes_total"], resident_bytes)
        self._seen: list[list[int]] = [[], []]
        self.look()

    def look(self) -> None:
        """Read it again."""
        for read, seen in zip(self._reads, self._seen, strict=True):
            seen.append(read())

    def moments(self) -> tuple[Moments, Moments]:
        """The last two looks are those at the end, and when all had settled."""
        held, resident = (Moments(seen[0], max(seen), *seen[-2:]) for seen in self._seen)
        return held, resident


def churn(progress: Progress, population: Population, visitors: int, operations: int, *, checked: bool) -> Churned:
    """Do it, let all visitors leave, and look what is left.

    Args:
        progress: told how far it is.
        population: who stays.
        visitors: how many come and go.
        operations: joins, leaves, logins, logouts and drops.
        checked: whether all is held against a model. Memory is measured without, the model's own being in the way.

    Raises:
        TablesDifferError: the engine answered otherwise than the model.
    """
    steps = Steps(population, visitors)
    _warm_up(Steps(population, visitors))
    engine = _new_engine()
    bring_online(engine, population, progress)
    model = _model_of(population) if checked else None
    _settle(engine)
    memory, witness = _Memory(engine), Witness(engine, model)
    for number in range(operations):
        witness.take(steps.draw())
        if number % _CHECK_EVERY == 0:
            progress(number / operations, "joins, leaves, logins, drops")
            witness.compare(steps.some_channels(_CHECKED), steps.some_visitors(_CHECKED))
            memory.look()
    for step in steps.farewell():
        witness.take(step)
    memory.look()
    _settle(engine)
    memory.look()
    witness.compare(steps.all_channels(), [])
    return Churned(dict(witness.done), witness.returned.hexdigest(), witness.checked, *memory.moments())


class Steps:
    """What happens next, by a fixed seed."""

    def __init__(self, population: Population, visitors: int) -> None:
        self._visitors = visitors
        self._choice = random.Random(population.seed)  # noqa: S311 - the same steps in each run
        self._channels = int(population.channels * (1 + _NEW_CHANNELS))
        self._kinds, self._weights = list(STEPS), [weight for weight, _ in STEPS.values()]

    def draw(self) -> Step:
        """One step."""
        [kind] = self._choice.choices(self._kinds, self._weights)
        count = {"login": self._choice.randint(0, _LIST), "join": 1, "leave": 1}.get(kind, 0)
        number = self._choice.randrange(self._visitors)
        instance = (number + self._choice.randrange(_INSTANCES_OF_ONE)) % _INSTANCES
        return kind, _visitor(number), f"visit-{instance}", self.some_channels(count)

    def some_visitors(self, count: int) -> list[str]:
        """Any."""
        return [_visitor(self._choice.randrange(self._visitors)) for _ in range(count)]

    def some_channels(self, count: int) -> list[str]:
        """Distinct ones."""
        return channel_names(array("I", self._choice.sample(range(self._channels), count)))

    def all_channels(self) -> list[str]:
        """Of the population and of the visitors."""
        return channel_names(array("I", range(self._channels)))

    def farewell(self) -> list[Step]:
        """Everybody leaves whom the population does not hold."""
        drops = [("drop", "", f"visit-{number}", list[str]()) for number in range(_INSTANCES)]
        return drops + [("forget", _visitor(number), "", list[str]()) for number in range(self._visitors)]


class Witness:
    """Takes each step with the engine, and with the model where there is one, and compares."""

    def __init__(self, engine: Engine, model: PythonTable | None) -> None:
        self._engine = engine
        self._model = model
        self.done: Counter[str] = Counter()
        self.returned = hashlib.sha256()
        self.checked = 0

    def take(self, step: Step) -> None:
        """One step, and what it returned."""
        answer = _perform(self._engine, step)
        self.returned.update(repr(answer).encode())
        self.done[step[0]] += 1
        if self._model is not None:
            self._expect(answer, _perform(self._model, step), step)

    def compare(self, channels: list[str], users: list[str]) -> None:
        """All that is known of some channels and users."""
        if self._model is None:
            return
        for channel in channels:
            self._expect(self._engine.members(channel), self._model.members(channel), channel)
            self._expect(self._engine.instances(channel), self._model.instances(channel), channel)
        for user in users:
            self._expect(self._engine.channels(user), self._model.channels(user), user)

    def _expect(self, answer: Any, wanted: Any, about: Any) -> None:
        self.checked += 1
        if answer != wanted:
            raise TablesDifferError(f"the engine says {answer!r} of {about!r}, the model {wanted!r}")


def _new_engine() -> Engine:
    """One whose cache forgets nobody by itself."""
    return Engine(cache_users=1_000_000, cache_ttl=86_400.0)


def _warm_up(steps: Steps) -> None:
    """What Python itself takes when it does this for the first time is not the engine's."""
    witness = Witness(_new_engine(), None)
    for _ in range(_WARM_UP):
        witness.take(steps.draw())


def _settle(engine: Engine) -> None:
    sleep(SETTLING_S)
    known = channel_names(array("I", range(_LIST)))
    for _ in range(SETTLING_LOGINS):
        engine.user_online("last", "last", known)
        engine.drop_instance("last")
        engine.forget("last")


def _visitor(number: int) -> str:
    return f"visitor-{number}"


def _perform(table: Engine | PythonTable, step: Step) -> int | None:
    kind, user, instance, channels = step
    calls: dict[str, Callable[[], int | None]] = {
        "join": lambda: table.join(user, channels[0]),
        "leave": lambda: table.leave(user, channels[0]),
        "login": lambda: table.user_online(user, instance, channels),
        "login known": lambda: table.user_online(user, instance),
        "logout": lambda: table.user_offline(user, instance),
        "forget": lambda: table.forget(user),
        "drop": lambda: table.drop_instance(instance),
    }
    try:
        return calls[kind]()
    except (MembershipUnknown, KeyError):
        if kind != "login known":
            raise
        return None  # the user is not known


def _model_of(population: Population) -> PythonTable:
    model = PythonTable()
    bring_online(model, population, lambda share, what: None)  # noqa: ARG005 - the engine's turn was shown
    return model
