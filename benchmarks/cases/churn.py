"""`fanout bench churn`: at random joins, leaves, logins and drops, answers stay right and memory comes back."""

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice
from time import sleep
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from benchmarks import units
from benchmarks.apart import Stages, run_apart
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


class Step(NamedTuple):
    """A call of a table, and what it is called in `STEPS`."""

    what: str
    method: str
    arguments: tuple[Any, ...]

    def take(self, table: Engine | PythonTable) -> int | None:
        """The result of the call; None where it was refused, since the user is not known."""
        with suppress(MembershipUnknown, KeyError):
            answer: int | None = getattr(table, self.method)(*self.arguments)
            return answer
        return None


class ChurnOptions(msgspec.Struct, frozen=True):
    """Who stays, and what comes and goes."""

    population: Population = Population(users=4_000, channels=200_000, memberships=1_200_000, instances=100)
    """Small, so that as many visitors as there are users go through all their channels many times."""
    visitors: Annotated[int, Meta(ge=1, description="Users who come and go beside those who stay.")] = 4_000
    operations: Annotated[int, Meta(ge=1, description="Joins, leaves, logins, logouts and drops.")] = _FULL


class Churned(msgspec.Struct, frozen=True):
    """The steps that were taken, and their results."""

    operations: dict[str, int]
    returned: str
    """A digest of what all calls returned."""
    answers_checked: int
    memory: dict[str, list[int]]
    """By the keys of `_MOMENTS`: bytes at the beginning, at most, at the end, and when the allocator had settled."""

    def growth(self, of: str) -> float:
        """Per cent."""
        return (self.memory[of][-1] / self.memory[of][0] - 1) * 100


def churn(population: Population, visitors: int, operations: int, *, checked: bool) -> Churned:
    """Take the steps, let all visitors leave, and look at what is left.

    With `checked`, all is compared with a model; memory is measured without it, since the model takes memory too.

    Raises:
        TablesDifferError: the engine answered otherwise than the model.
    """
    channels, warm = int(population.channels * _ALL_CHANNELS), _new_engine()
    for step in islice(_steps(visitors, channels), _WARM_UP):
        step.take(warm)  # what Python itself takes when it does this for the first time is not the engine's
    del warm
    engine, model = _new_engine(), PythonTable() if checked else None
    bring_online(engine, population)
    if model:
        bring_online(model, population)
    done, returned, compared, looks = Counter[str](), hashlib.sha256(), 0, [_settled(engine)]
    for number, step in enumerate(chain(islice(_steps(visitors, channels), operations), _farewell(visitors))):
        answer = step.take(engine)
        returned.update(repr(answer).encode())
        done[step.what] += 1
        if model:
            compared += _expect(answer, step.take(model), step)
        if number < operations and number % _CHECK_EVERY == 0:
            looks.append(_look(engine))
            compared += _compare(engine, model, _draws(number, channels), _draws(number, visitors))
    looks += [_look(engine), _settled(engine)]
    compared += _compare(engine, model, range(channels), ())
    memory = {of: [seen[0], max(seen), *seen[-2:]] for of, seen in zip(_MOMENTS, zip(*looks, strict=True), strict=True)}
    return Churned(dict(done), returned.hexdigest(), compared, memory)


def _steps(visitors: int, channels: int) -> Iterator[Step]:
    """The steps, without end, by a fixed seed."""
    choice = random.Random(1)  # noqa: S311 - the same steps in each run
    kinds, weights = list(STEPS), [weight for weight, _ in STEPS.values()]
    while True:
        [what] = choice.choices(kinds, weights)
        count = {"login": choice.randint(0, _LIST), "join": 1, "leave": 1}.get(what, 0)
        number = choice.randrange(visitors)
        user, instance = f"visitor-{number}", f"visit-{(number + choice.randrange(_INSTANCES_OF_ONE)) % _INSTANCES}"
        names = channel_names(choice.sample(range(channels), count))
        calls: dict[str, tuple[str, tuple[Any, ...]]] = {
            "join": ("join", (user, *names)),
            "leave": ("leave", (user, *names)),
            "login": ("user_online", (user, instance, names)),
            "login known": ("user_online", (user, instance)),
            "logout": ("user_offline", (user, instance)),
            "forget": ("forget", (user,)),
            "drop": ("drop_instance", (instance,)),
        }
        yield Step(what, *calls[what])


def _farewell(visitors: int) -> Iterator[Step]:
    """All leave whom the population does not hold."""
    yield from (Step("drop", "drop_instance", (f"visit-{number}",)) for number in range(_INSTANCES))
    yield from (Step("forget", "forget", (f"visitor-{number}",)) for number in range(visitors))


def _draws(seed: int, of: int) -> list[int]:
    return random.Random(seed).choices(range(of), k=_CHECKED)  # noqa: S311 - the same in each run


def _compare(engine: Engine, model: PythonTable | None, channels: Iterable[int], visitors: Iterable[int]) -> int:
    """All that is known of some channels and visitors; how many answers were compared."""
    if model is None:
        return 0
    names, users = channel_names(channels), [f"visitor-{number}" for number in visitors]
    asked = [(method, name) for name in names for method in ("members", "instances")]
    for method, name in chain(asked, (("channels", user) for user in users)):
        _expect(getattr(engine, method)(name), getattr(model, method)(name), name)
    return len(asked) + len(users)


def _expect(answer: object, wanted: object, about: object) -> int:
    if answer != wanted:
        raise TablesDifferError(f"the engine says {answer!r} of {about!r}, the model {wanted!r}")
    return 1


def _new_engine() -> Engine:
    """An engine whose cache forgets nobody by itself."""
    return Engine(cache_users=1_000_000, cache_ttl=86_400.0)


def _look(engine: Engine) -> tuple[int, int]:
    return engine.stats()["bytes_total"], resident_bytes()


def _settled(engine: Engine) -> tuple[int, int]:
    sleep(_SETTLING_S)
    known = channel_names(range(_LIST))
    for _ in range(_SETTLING_LOGINS):
        engine.user_online("last", "last", known)
        engine.drop_instance("last")
        engine.forget("last")
    return _look(engine)


def run(options: ChurnOptions, stages: Stages) -> Report:
    """The same steps twice, compared with a model and alone for the sake of memory; a `BenchError` if it fails."""
    people, visitors, operations = options.population, options.visitors, options.operations
    require_room(people, lambda population: [Held("python", population)])
    stages("the steps, compared with a plain model")
    checked = run_apart(churn, people, visitors, operations, checked=True)
    stages("the steps alone, for memory")
    alone = run_apart(churn, people, visitors, operations, checked=False)
    if checked.returned != alone.returned:
        raise TablesDifferError("the same steps returned something else the second time")
    full, answers = operations >= _FULL and visitors >= people.users, f"{checked.answers_checked:,}"
    first, *_, last = alone.memory["memory of the engine"]
    grown = [
        at_most(f"{of}, more than at the beginning", alone.growth(of), _GROWTH_LIMIT, "%", full=full) for of in _MOMENTS
    ]
    return Report(
        f"Churn: {operations:,} random joins, leaves, logins and drops",
        f"{answers} answers were those of a plain model. When all visitors had left, "
        f"the engine held {units.size(last)}, and {units.size(first)} before.",
        [*grown, exact("answers that a plain model gives too", f"all {answers}")],
        _tables(checked, alone),
        {"checked": checked, "alone": alone},
    )


def _tables(checked: Churned, alone: Churned) -> list[Table]:
    memory = (
        "At the beginning only those are online who stay; at the end the visitors' instances are dropped and their "
        "lists forgotten. The allocator returns after a second what is not used again: a while later is "
        f"{units.duration(_SETTLING_S)} and {_SETTLING_LOGINS:,} logins of one user later, as is the beginning."
    )
    columns = ["at the beginning", "at most", "at the end", "a while later", "difference"]
    held = [
        Row(of, [*figures("bytes", alone.memory[of]), Figure(alone.growth(of), "%")], note)
        for of, note in _MOMENTS.items()
    ]
    steps = (
        "Each step was done to the engine and to a model in Python dicts, and what both returned was compared; what "
        "both say of a sample of channels and users at every ten thousandth, and at the end of all."
    )
    done = [Row(what, figures("number", [checked.operations.get(what, 0)]), note) for what, (_, note) in STEPS.items()]
    return [Table("Memory", memory, columns, held, bars=[0, 1, 2, 3]), Table("What was done", steps, ["times"], done)]


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
