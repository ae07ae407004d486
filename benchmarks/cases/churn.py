"""`fanout bench churn`: at random joins, leaves, logins and drops, answers stay right and memory comes back."""

import hashlib
import random
from array import array
from collections import Counter
from collections.abc import Callable
from time import sleep
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from benchmarks import units
from benchmarks.apart import Progress, Stages, run_apart
from benchmarks.baselines.python_table import PythonTable
from benchmarks.case import QUICK, Case
from benchmarks.costs import Held, require_room
from benchmarks.drawing import channel_names
from benchmarks.errors import TablesDifferError
from benchmarks.machine import resident_bytes
from benchmarks.population import Population
from benchmarks.report import Figure, Report, Row, Table, at_most, exact, figures
from benchmarks.tables import bring_online
from fanout import Engine, MembershipUnknown

_FULL: Final = 1_000_000
_GROWTH_LIMIT: Final = 5
_INSTANCES: Final = 20
_INSTANCES_OF_ONE: Final = 3
"""Those between which a visitor moves: few, so that most visitors who leave one were on it."""
_LIST: Final = 200
"""Channels, at most, of a visitor who comes online."""
_ALL_CHANNELS: Final = 1.2
"""For each channel of the population, with those that only visitors are in."""
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
_SETTLING_S: Final = 2.0
"""The allocator returns pages that were not used for a second, once it is at work again."""
_SETTLING_LOGINS: Final = 2_000
_MOMENTS: Final = {
    "memory of the engine": "Bytes held by the engine's structures, by its own count.",
    "memory of the process": "Resident memory, with the interpreter's and what the allocator keeps for later.",
}

Step = tuple[str, str, str, list[str]]
"""What is done, the user, the instance, channels."""


class ChurnOptions(msgspec.Struct, frozen=True):
    """Who stays, and what comes and goes."""

    population: Population = Population(users=4_000, channels=200_000, memberships=1_200_000, instances=100)
    """Small, so that as many visitors as there are users go through all their channels many times."""
    visitors: Annotated[int, Meta(ge=1, description="Users who come and go beside those who stay.")] = 4_000
    operations: Annotated[int, Meta(ge=1, description="Joins, leaves, logins, logouts and drops.")] = _FULL


class Churned(msgspec.Struct, frozen=True):
    """What was done, and what was seen."""

    operations: dict[str, int]
    returned: str
    """A digest of what all calls returned."""
    answers_checked: int
    memory: dict[str, list[int]]
    """Of the engine by its own count, and of the process: bytes at the beginning, at most, when the last visitor had
    just left, and when the allocator had returned what it keeps for a while."""

    def growth(self, of: str) -> float:
        """Per cent."""
        return (self.memory[of][-1] / self.memory[of][0] - 1) * 100


def churn(_: Progress, population: Population, visitors: int, operations: int, *, checked: bool) -> Churned:
    """Take the steps, let all visitors leave, and look at what is left.

    Args:
        population: who stays.
        visitors: how many come and go.
        operations: joins, leaves, logins, logouts and drops.
        checked: whether all is compared with a model. Memory is measured without the model, which has its own.

    Raises:
        TablesDifferError: the engine answered otherwise than the model.
    """
    _warm_up(_Steps(population, visitors))
    engine, model, steps = _new_engine(), PythonTable() if checked else None, _Steps(population, visitors)
    bring_online(engine, population)
    if model:
        bring_online(model, population)
    witness, looks = _Witness(engine, model), [_settled(engine)]
    for number in range(operations):
        witness.take(steps.draw())
        if number % _CHECK_EVERY == 0:
            witness.compare(steps.some_channels(_CHECKED), steps.some_visitors(_CHECKED))
            looks.append(_look(engine))
    for step in steps.farewell():
        witness.take(step)
    looks += [_look(engine), _settled(engine)]
    witness.compare(channel_names(array("I", range(steps.channels))), [])
    memory = {of: [seen[0], max(seen), *seen[-2:]] for of, seen in zip(_MOMENTS, zip(*looks, strict=True), strict=True)}
    return Churned(dict(witness.done), witness.returned.hexdigest(), witness.checked, memory)


class _Steps:
    """What happens next, by a fixed seed."""

    def __init__(self, population: Population, visitors: int) -> None:
        self._visitors = visitors
        self._choice = random.Random(1)  # noqa: S311 - the same steps in each run
        self.channels = int(population.channels * _ALL_CHANNELS)

    def draw(self) -> Step:
        [kind] = self._choice.choices(list(STEPS), [weight for weight, _ in STEPS.values()])
        count = {"login": self._choice.randint(0, _LIST), "join": 1, "leave": 1}.get(kind, 0)
        number = self._choice.randrange(self._visitors)
        instance = (number + self._choice.randrange(_INSTANCES_OF_ONE)) % _INSTANCES
        return kind, f"visitor-{number}", f"visit-{instance}", self.some_channels(count)

    def some_visitors(self, count: int) -> list[str]:
        return [f"visitor-{self._choice.randrange(self._visitors)}" for _ in range(count)]

    def some_channels(self, count: int) -> list[str]:
        return channel_names(array("I", self._choice.sample(range(self.channels), count)))

    def farewell(self) -> list[Step]:
        """All leave whom the population does not hold."""
        drops: list[Step] = [("drop", "", f"visit-{number}", []) for number in range(_INSTANCES)]
        return drops + [("forget", f"visitor-{number}", "", []) for number in range(self._visitors)]


class _Witness:
    """Takes each step with the engine, and with the model where there is one, and compares."""

    def __init__(self, engine: Engine, model: PythonTable | None) -> None:
        self._engine, self._model = engine, model
        self.done: Counter[str] = Counter()
        self.returned = hashlib.sha256()
        self.checked = 0

    def take(self, step: Step) -> None:
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


def _new_engine() -> Engine:
    """An engine whose cache forgets nobody by itself."""
    return Engine(cache_users=1_000_000, cache_ttl=86_400.0)


def _warm_up(steps: _Steps) -> None:
    """What Python itself takes when it does this for the first time is not the engine's."""
    witness = _Witness(_new_engine(), None)
    for _ in range(_WARM_UP):
        witness.take(steps.draw())


def _look(engine: Engine) -> tuple[int, int]:
    return engine.stats()["bytes_total"], resident_bytes()


def _settled(engine: Engine) -> tuple[int, int]:
    sleep(_SETTLING_S)
    known = channel_names(array("I", range(_LIST)))
    for _ in range(_SETTLING_LOGINS):
        engine.user_online("last", "last", known)
        engine.drop_instance("last")
        engine.forget("last")
    return _look(engine)


def run(options: ChurnOptions, stages: Stages) -> Report:
    """The same steps twice: compared with a model, and alone for the sake of memory.

    Raises:
        BenchError: it cannot be drawn, does not fit the machine, or the engine and the model differ.
    """
    people, visitors, operations = options.population, options.visitors, options.operations
    require_room(people, lambda population: [Held("python", population)])
    progress = stages("the steps, compared with a plain model")
    checked = run_apart(progress, churn, people, visitors, operations, checked=True)
    alone = run_apart(stages("the steps alone, for memory"), churn, people, visitors, operations, checked=False)
    if checked.returned != alone.returned:
        raise TablesDifferError("the same steps returned something else the second time")
    judged, answers = operations >= _FULL and visitors >= people.users, f"{checked.answers_checked:,}"
    first, *_, last = alone.memory["memory of the engine"]
    grown = [
        at_most(f"{of}, more than at the beginning", alone.growth(of), _GROWTH_LIMIT, "%", judged=judged)
        for of in _MOMENTS
    ]
    return Report(
        f"Churn: {operations:,} random joins, leaves, logins and drops",
        f"{answers} answers were those of a plain model. When all visitors had left, "
        f"the engine held {units.size(last)}, and {units.size(first)} before.",
        [*grown, exact("answers that a plain model gives too", f"all {answers}")],
        [_memory(alone), _steps(checked)],
        {"checked": checked, "alone": alone},
    )


def _memory(alone: Churned) -> Table:
    text = (
        "At the beginning only those are online who stay; at the end the visitors' instances are dropped and their "
        "lists forgotten. The allocator returns after a second what is not used again: a while later is "
        f"{units.duration(_SETTLING_S)} and {_SETTLING_LOGINS:,} logins of one user later, as is the beginning."
    )
    rows = [
        Row(of, [*figures("bytes", alone.memory[of]), Figure(alone.growth(of), "%")], note)
        for of, note in _MOMENTS.items()
    ]
    columns = ["at the beginning", "at most", "at the end", "a while later", "difference"]
    return Table("Memory", text, columns, rows, bars=[0, 1, 2, 3])


def _steps(checked: Churned) -> Table:
    text = (
        "Each step was done to the engine and to a model in Python dicts, and what both returned was compared; what "
        "both say of a sample of channels and users at every ten thousandth, and at the end of all."
    )
    done = checked.operations
    rows = [Row(what, [Figure(done.get(what, 0), "number")], note) for what, (_, note) in STEPS.items()]
    return Table("What was done", text, ["times"], rows)


def _quick(options: ChurnOptions) -> ChurnOptions:
    visitors, operations = (max(1, round(count * QUICK)) for count in (options.visitors, options.operations))
    return replace(options, population=options.population.scaled(QUICK), visitors=visitors, operations=operations)


CASE: Final = Case(
    "churn",
    "Let users come, go, join and leave at random, and see whether memory comes back.\n\n"
    "Each step is compared with a plain model; when all visitors have left, memory is compared with the beginning.",
    ChurnOptions,
    run,
    _quick,
    stages=2,
)
