"""Which Rust file may use which: no circle between files, and in the engine each folder uses only those below it.

Tests of Rust (`*_tests.rs`, `tests.rs`, `concurrency_tests/` and what stands behind `#[cfg(test)]`) may use everything.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "core_ext"
ENGINE = CORE / "engine" / "src"
CRATES = [ENGINE, CORE / "nats" / "src", CORE / "src"]
FLOORS = [
    {"lib.rs"},
    {"hub", "replay", "snapshot"},
    {"engine"},
    {"outbox"},
    {"table", "events"},
    {"names"},
    {"memory", "sync", "error.rs"},
]
"""Of the engine, from the top."""

_COMMENT = re.compile(r"//[^\n]*")
_STRING = re.compile(r'r#".*?"#|"(?:\\.|[^"\\])*"', re.DOTALL)
_CHECKER_ONLY = re.compile(r"#\[cfg\(shuttle\)\]\s*(?:pub(?:\(\w+\))? )?(?:mod|use) [^;]*;")
_GROUP = re.compile(r"([\w:]*::)\{([^{}]*)\}")
_PATH = re.compile(r"\b(?:crate|super|self)(?:::\w+)+")


@dataclass(frozen=True)
class Crate:
    """The files of a crate, and for each the files that it uses."""

    root: Path
    modules: dict[tuple[str, ...], Path]

    def path_of(self, file: Path) -> tuple[str, ...]:
        return next(path for path, own in self.modules.items() if own == file)

    def file_of(self, path: tuple[str, ...]) -> Path:
        """The file of the longest part of a path that is a module."""
        known = (path[:length] for length in range(len(path), -1, -1))
        return next(self.modules[part] for part in known if part in self.modules)

    def uses(self) -> dict[Path, set[Path]]:
        return {file: self._used_by(file) for file in self.modules.values()}

    def _used_by(self, file: Path) -> set[Path]:
        own = self.path_of(file)
        children = {path[-1] for path in self.modules if len(path) == len(own) + 1 and path[:-1] == own}
        used = {self.file_of(_absolute(own, path)) for path in paths_in(file, children)}
        return used - {file}


def _absolute(own: tuple[str, ...], path: str) -> tuple[str, ...]:
    first, *rest = path.split("::")
    base: tuple[str, ...] = () if first == "crate" else own
    rest = [first, *rest] if first == "super" else rest
    while rest and rest[0] == "super":
        base, rest = base[:-1], rest[1:]
    return (*base, *rest)


def code_of(file: Path) -> str:
    """A file without comments, strings, and what is compiled for tests alone."""
    text = _STRING.sub('""', _COMMENT.sub("", file.read_text()))
    before, *_ = text.split("#[cfg(test)]\nmod tests")
    before, *_ = before.split("#[cfg(test)]\n#[path")
    return _CHECKER_ONLY.sub("", before)


def paths_in(file: Path, children: set[str]) -> Iterator[str]:
    """The paths of modules in a file; those that begin with a child of the file's module begin with `self` here."""
    code = code_of(file)
    if children:
        code = re.sub(rf"(?<![\w:])({'|'.join(children)})::(?=[\w{{])", r"self::\1::", code)
    while _GROUP.search(code):
        code = _GROUP.sub(_ungrouped, code)
    yield from (match.group() for match in _PATH.finditer(code))


def _ungrouped(group: re.Match[str]) -> str:
    prefix, items = group.groups()
    return ", ".join(prefix + item.strip() for item in items.split(",") if item.strip())


def _is_test(file: Path, root: Path) -> bool:
    return file.stem == "tests" or file.stem.endswith("_tests") or "concurrency_tests" in file.relative_to(root).parts


@cache
def crate(root: Path) -> Crate:
    files = [file for file in sorted(root.rglob("*.rs")) if not _is_test(file, root)]
    return Crate(root, {_module_of(file.relative_to(root)): file for file in files})


def _module_of(file: Path) -> tuple[str, ...]:
    parts = file.with_suffix("").parts
    return parts[:-1] if parts[-1] in {"lib", "mod"} else parts


def _place(file: Path) -> str:
    return file.relative_to(ENGINE).parts[0]


@pytest.mark.parametrize("root", CRATES, ids=lambda root: str(root.relative_to(CORE)))
def test_no_file_uses_one_that_uses_it(root: Path) -> None:
    uses = crate(root).uses()
    try:
        TopologicalSorter(uses).prepare()
    except CycleError as error:
        circle = " -> ".join(str(file.relative_to(root)) for file in reversed(error.args[1]))
        pytest.fail(f"these files use each other: {circle}")


def test_a_folder_of_the_engine_uses_only_those_below_it() -> None:
    floor_of = {place: number for number, floor in enumerate(FLOORS) for place in floor}
    wrong = [
        f"{user.relative_to(ENGINE)} uses {used.relative_to(ENGINE)}"
        for user, all_used in crate(ENGINE).uses().items()
        for used in all_used
        if _place(user) != _place(used) and floor_of[_place(user)] >= floor_of[_place(used)]
    ]
    assert not wrong


def test_each_file_of_the_engine_stands_in_a_folder_of_the_drawing() -> None:
    drawn = set(chain.from_iterable(FLOORS))
    assert {_place(file) for file in crate(ENGINE).modules.values()} == drawn


def test_the_drawing_in_the_engine_is_the_one_that_is_checked() -> None:
    drawing = re.findall(r"^//! +([\w. ]+)$", (ENGINE / "lib.rs").read_text().split("```")[1], re.MULTILINE)
    assert [set(line.split()) for line in drawing] == FLOORS[1:]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("use crate::b::{B, c};", "use crate::a::A;"),
        ("use super::b::B;", "fn f() -> crate::a::A {}"),
        ("use crate::{b::B, c};", "pub use super::a;"),
    ],
)
def test_a_circle_is_found(tmp_path: Path, first: str, second: str) -> None:
    for name, text in [("lib.rs", "mod a;\nmod b;"), ("a.rs", first), ("b.rs", second)]:
        (tmp_path / name).write_text(text)
    with pytest.raises(CycleError):
        TopologicalSorter(crate(tmp_path).uses()).prepare()


def test_what_only_tests_use_and_what_is_said_in_comments_is_no_use(tmp_path: Path) -> None:
    (tmp_path / "lib.rs").write_text("mod a;\nmod b;")
    (tmp_path / "a.rs").write_text("use crate::b::B;")
    (tmp_path / "b.rs").write_text(
        "/// See [`crate::a`].\nstruct B;\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n"
    )
    TopologicalSorter(crate(tmp_path).uses()).prepare()
