"""No Python module uses itself by way of others, in the product, the benchmarks and what the tests share."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {"fanout": ROOT / "src", "services": ROOT / "src", "benchmarks": ROOT, "tests": ROOT}


def modules() -> dict[str, Path]:
    """Each module's file, by its dotted name."""
    found = {}
    for package, base in FOLDERS.items():
        for file in (base / package).rglob("*.py"):
            parts = file.relative_to(base).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def used_by(file: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """The modules that a file imports, those in functions included."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in known else node.module


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """The modules of one circle, the first again at the end; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def test_no_modules_use_each_other() -> None:
    known = modules()
    # A module may import itself by name: `python -m` runs it as `__main__`.
    found = circle({name: set(used_by(file, known)) - {name} for name, file in known.items()})
    assert not found, " -> ".join(found)


@pytest.mark.parametrize("graph", [{"a": {"b"}, "b": {"a"}}, {"a": {"b"}, "b": {"c"}, "c": {"a"}}])
def test_a_circle_is_found(graph: Mapping[str, set[str]]) -> None:
    assert set(circle(graph)) == set(graph)
