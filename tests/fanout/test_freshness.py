import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fanout
from fanout import _core
from fanout._freshness import refuse_stale_binary, source_digest

PACKAGE = Path(fanout.__file__).parent


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of a few Rust sources; the folder of its package."""
    sources = tmp_path / "core_ext"
    for name in ("Cargo.toml", "Cargo.lock", "src/lib.rs", "engine/Cargo.toml", "engine/src/lib.rs"):
        (sources / name).parent.mkdir(parents=True, exist_ok=True)
        (sources / name).write_text(name)
    package = tmp_path / "src" / "fanout"
    package.mkdir(parents=True)
    return package


def _sources(package: Path) -> Path:
    return package.parents[1] / "core_ext"


def test_the_digest_is_the_one_that_the_build_computes() -> None:
    assert source_digest(_sources(PACKAGE)) == _core.source_digest


def test_a_binary_of_these_sources_is_accepted(checkout: Path) -> None:
    refuse_stale_binary(source_digest(_sources(checkout)), checkout)


@pytest.mark.parametrize("name", ["engine/src/lib.rs", "Cargo.lock", "engine/src/new.rs"])
def test_a_binary_of_other_sources_is_refused_with_the_remedy(checkout: Path, name: str) -> None:
    built_from = source_digest(_sources(checkout))
    (_sources(checkout) / name).write_text("changed")
    with pytest.raises(ImportError, match="make build"):
        refuse_stale_binary(built_from, checkout)


def test_a_renamed_source_is_a_changed_one(checkout: Path) -> None:
    before = source_digest(_sources(checkout))
    (_sources(checkout) / "src/lib.rs").rename(_sources(checkout) / "src/other.rs")
    assert source_digest(_sources(checkout)) != before


def test_what_was_built_is_no_source(checkout: Path) -> None:
    before = source_digest(_sources(checkout))
    generated = _sources(checkout) / "target" / "debug" / "build.rs"
    generated.parent.mkdir(parents=True)
    generated.write_text("generated")
    assert source_digest(_sources(checkout)) == before


def _would_build(checkout: Path) -> bool:
    command = ["make", "--dry-run", "build"]
    dry = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True, timeout=60)
    return "pip install" in dry.stdout


@pytest.mark.parametrize("change", ["changed", "added", "deleted"])
def test_the_remedy_builds_after_any_change_of_the_sources(checkout: Path, change: str) -> None:
    root, source = checkout.parents[1], _sources(checkout) / "engine/src/lib.rs"
    shutil.copy(PACKAGE.parents[1] / "Makefile", root)
    built = [root / name for name in ("requirements/dev.lock", ".venv/.ready", ".venv/.core")]
    projects = [
        folder / name for folder in (root, root / "packaging/services") for name in ("pyproject.toml", "setup.py")
    ]
    for path in (*built, *projects, checkout / "_core.pyi"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for path in sorted(root.rglob("*")):
        os.utime(path, (1, 1))
    assert not _would_build(root)
    match change:
        case "changed":
            source.write_text("changed")
        case "added":
            source.with_name("new.rs").touch()
        case _:
            source.unlink()
    assert _would_build(root)


def test_without_sources_there_is_nothing_to_compare(tmp_path: Path) -> None:
    refuse_stale_binary("anything", tmp_path / "site-packages" / "fanout")
    refuse_stale_binary("anything", Path("/fanout"))


def test_a_package_without_its_core_names_the_remedy(tmp_path: Path) -> None:
    copied = tmp_path / "fanout"
    copied.mkdir()
    for module in PACKAGE.glob("*.py"):
        (copied / module.name).write_text(module.read_text())
    command = [sys.executable, "-S", "-c", "import fanout"]
    result = subprocess.run(
        command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False, timeout=60
    )
    assert "make build" in result.stderr
