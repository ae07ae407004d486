"""What differs between streams stands in the table of streams: no other module compares a stream's name."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from fanout.streams import STREAMS

SOURCES = Path(__file__).parents[2] / "src"
TABLE = SOURCES / "fanout" / "streams.py"
MODULES = sorted(path for path in SOURCES.rglob("*.py") if path != TABLE)
EQUALITIES = (ast.Eq, ast.NotEq)
MEMBERSHIPS = (ast.In, ast.NotIn)


def _identifier(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Constant(value=str(text)):
            return text
    return ""


def _names_a_stream(node: ast.expr) -> bool:
    return _identifier(node) in STREAMS or _identifier(node) == "stream"


def _is_choice_by_name(node: ast.AST) -> bool:
    match node:
        case ast.Compare(left=left, ops=operators, comparators=others):
            literals = [other for other in others if isinstance(other, ast.Tuple | ast.List | ast.Set)]
            listed = [one for literal in literals for one in literal.elts]
            return (
                any(isinstance(operator, EQUALITIES) for operator in operators)
                and any(map(_names_a_stream, [left, *others]))
            ) or (
                any(isinstance(operator, MEMBERSHIPS) for operator in operators)
                and (_identifier(left) in STREAMS or any(map(_names_a_stream, listed)))
            )
        case ast.Match(subject=subject):
            return _names_a_stream(subject)
    return False


def choices_in(source: str) -> Iterator[int]:
    """The lines where a source does one thing or another by the name of a stream."""
    return (node.lineno for node in ast.walk(ast.parse(source)) if _is_choice_by_name(node))  # type: ignore[attr-defined]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SOURCES)))
def test_no_module_beside_the_table_chooses_by_the_name_of_a_stream(module: Path) -> None:
    assert list(choices_in(module.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "if lane.stream == MESSAGES: pass",
        "keep = 1 if stream != DEAD else 2",
        "plain = reset.stream in {MESSAGES, DEAD}",
        "if META in found: pass",
        "if name == 'META': pass",
        "match stream:\n    case _: pass",
    ],
)
def test_such_a_choice_is_found(source: str) -> None:
    assert list(choices_in(source)) == [1]


@pytest.mark.parametrize("source", ["log.read(MESSAGES)", "if stream in found: pass", "if spec.plain: pass"])
def test_other_uses_of_a_name_are_no_choices(source: str) -> None:
    assert list(choices_in(source)) == []
