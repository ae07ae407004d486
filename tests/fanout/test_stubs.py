import ast
import inspect
import operator
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fanout
from fanout import _core

STUB = Path(fanout.__file__).with_name("_core.pyi")


def _stubtest(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy.stubtest", "fanout._core"]
    environment = {"MYPYPATH": str(folder), "PYTHONPATH": str(folder)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=100
    )


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package that holds the compiled module and its stub alone."""
    folder = tmp_path / "fanout"
    folder.mkdir()
    (folder / "__init__.py").touch()
    compiled = Path(_core.__file__)
    (folder / compiled.name).write_bytes(compiled.read_bytes())
    (folder / "_core.pyi").write_text(STUB.read_text())
    return folder


def test_the_stub_tells_the_truth(package: Path) -> None:
    result = _stubtest(package.parent)
    assert result.returncode == 0, result.stdout


def test_a_stub_that_lies_is_found(package: Path) -> None:
    stub = package / "_core.pyi"
    stub.write_text(stub.read_text().replace("exclude: str | None = None", "without: str | None = None"))
    result = _stubtest(package.parent)
    assert "Engine.route is inconsistent" in result.stdout


def _documented(node: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each docstring of the stub, by the dotted name of what it describes."""
    for statement, following in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(statement, ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(statement)):
            yield prefix + statement.name, text
        if isinstance(statement, ast.ClassDef):
            yield from _documented(statement, f"{statement.name}.")
        if prefix and isinstance(statement, ast.AnnAssign) and isinstance(following, ast.Expr):
            assert isinstance(following.value, ast.Constant)
            assert isinstance(statement.target, ast.Name)
            yield prefix + statement.target.id, inspect.cleandoc(str(following.value.value))


@pytest.mark.parametrize(("name", "text"), list(_documented(ast.parse(STUB.read_text()))))
def test_help_shows_what_the_stub_says(name: str, text: str) -> None:
    assert inspect.getdoc(operator.attrgetter(name)(_core)) == text


def test_every_public_method_is_documented() -> None:
    classes = [found for found in vars(_core).values() if inspect.isclass(found)]
    members = [(found, name) for found in classes for name in vars(found) if not name.startswith("_")]
    assert len(members) > 80
    assert [f"{found.__name__}.{name}" for found, name in members if not getattr(found, name).__doc__] == []


def test_what_the_package_exports_is_documented() -> None:
    assert all(getattr(fanout, name).__doc__ for name in fanout.__all__)
