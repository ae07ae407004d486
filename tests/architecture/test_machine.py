"""Clocks are read and random numbers taken by `fanout.machine` alone, so that a simulation can replace both."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "src"
MODULES = {str(path.relative_to(SOURCES)): path for path in sorted(SOURCES.rglob("*.py"))}
MODULES_OF_THE_SYSTEM = {"time", "random", "secrets", "uuid"}
FUNCTIONS_OF_THE_SYSTEM = {
    "os": {"urandom", "getrandom"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}

EXCEPTIONS = {
    "fanout/machine.py": {"time", "random", "os.urandom"},
    "services/adapters/embedded/faults.py": {"random"},
    "services/adapters/sqlite/database.py": {"time"},
    "services/runtime/tokens.py": {"secrets"},
}
"""The others, and what each uses:

- `fanout/machine.py` is the one place.
- `embedded/faults.py` takes its chance from a seed that the caller gives.
- `sqlite/database.py` waits in a thread for the lock of another process, which no simulation has.
- `runtime/tokens.py` makes the secret of an installation, which must not depend on what anybody sets.
"""


def _imported(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=str(module), names=names):
            yield module
            yield from (f"{module}.{alias.name}" for alias in names)


def _called(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=name):
            yield f"{owner}.{name}"


def uses_in(source: str) -> set[str]:
    """What a source uses of the clocks and the chance of the operating system."""
    forbidden = {f"{owner}.{name}" for owner, names in FUNCTIONS_OF_THE_SYSTEM.items() for name in names}
    nodes = list(ast.walk(ast.parse(source)))
    imported = {name for node in nodes for name in _imported(node)}
    called = {name for node in nodes for name in _called(node)}
    return imported & MODULES_OF_THE_SYSTEM | (imported | called) & forbidden


@pytest.mark.parametrize("name", MODULES)
def test_a_module_uses_the_machine_of_the_process(name: str) -> None:
    assert uses_in(MODULES[name].read_text()) == EXCEPTIONS.get(name, set())


def test_each_exception_is_a_module() -> None:
    assert set(MODULES) >= set(EXCEPTIONS)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import time", "time"),
        ("import random as chance", "random"),
        ("from secrets import token_hex", "secrets"),
        ("def f():\n    import time", "time"),
        ("datetime.now(UTC)", "datetime.now"),
        ("datetime.datetime.utcnow()", "datetime.utcnow"),
        ("clock = datetime.now", "datetime.now"),
        ("os.urandom(4).hex()", "os.urandom"),
        ("from os import urandom", "os.urandom"),
    ],
)
def test_such_a_use_is_found(source: str, found: str) -> None:
    assert uses_in(source) == {found}


@pytest.mark.parametrize("source", ["loop.time()", "machine.wall_s()", "from datetime import datetime", "import os"])
def test_other_uses_are_none(source: str) -> None:
    assert uses_in(source) == set()
