import subprocess
import sys
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


def test_what_the_package_exports_is_documented() -> None:
    assert all(getattr(fanout, name).__doc__ for name in fanout.__all__)
