"""Two distributions come from one checkout: the library, and the services with the benchmarks."""

import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Sequence
from email.message import Message
from email.parser import Parser
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

import fanout

ROOT = Path(__file__).parents[2]
BUILD_S = 600
DELETED = "deleted_long_ago.py"
LIBRARY_NEEDS = ("msgspec", "orjson")
METADATA = (
    "Name",
    "Version",
    "Summary",
    "License-Expression",
    "Requires-Python",
    "Keywords",
)
METADATA_LISTS = ("Requires-Dist", "Classifier", "Provides-Extra")


def project(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return read


def build(folder: Path, *command: str) -> Path:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=BUILD_S)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("fanout*.whl")
    return wheel


def plant_deleted_module(folder: Path, package: str) -> None:
    """Leave what an earlier build leaves of a module that was deleted since; setuptools packs all that it finds."""
    for platform in ("lib", f"lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}"):
        deleted = folder / "build" / platform / package / DELETED
        deleted.parent.mkdir(parents=True, exist_ok=True)
        deleted.touch()


@pytest.fixture(scope="module")
def setuptools_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("setuptools")
    plant_deleted_module(ROOT, "fanout")
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder))
    return build(folder, sys.executable, "-m", "pip", "wheel", *options, ".")


@pytest.fixture(scope="module")
def services_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("services")
    plant_deleted_module(ROOT / "packaging/services", "services")
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder))
    return build(folder, sys.executable, "-m", "pip", "wheel", *options, "packaging/services")


@pytest.fixture(scope="module")
def maturin_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("maturin")
    # Unoptimised, which is quicker to compile; what is in the wheel does not depend on it.
    options = ("--locked", "--interpreter", sys.executable, "--target-dir", "core_ext/target/maturin")
    return build(folder, sys.executable, "-m", "maturin", "build", *options, "--out", str(folder))


def packaged(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


@pytest.mark.timeout(2 * BUILD_S)
def test_setuptools_and_maturin_build_the_same_library(setuptools_wheel: Path, maturin_wheel: Path) -> None:
    assert packaged(setuptools_wheel) == packaged(maturin_wheel)
    ours, theirs = metadata(setuptools_wheel), metadata(maturin_wheel)
    assert {name: ours[name] for name in METADATA} == {name: theirs[name] for name in METADATA}
    for name in METADATA_LISTS:
        assert normal(ours.get_all(name, [])) == normal(theirs.get_all(name, []))


@pytest.mark.timeout(BUILD_S)
@pytest.mark.parametrize(("wheel", "package"), [("setuptools_wheel", "fanout"), ("services_wheel", "services")])
def test_a_wheel_has_its_licence_and_no_module_that_was_deleted(
    request: pytest.FixtureRequest, wheel: str, package: str
) -> None:
    names = zipfile.ZipFile(request.getfixturevalue(wheel)).namelist()
    assert f"{package}/__init__.py" in names
    assert f"{package}/{DELETED}" not in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def normal(values: Sequence[str]) -> list[str]:
    return sorted(value.replace(" ", "").replace("'", '"') for value in values)


@pytest.fixture
def python(setuptools_wheel: Path, tmp_path: Path) -> Path:
    """The interpreter of an environment with the library's wheel and what it depends on, and nothing else."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True, timeout=60)
    (packages,) = tmp_path.glob("lib/python*/site-packages")
    for name in LIBRARY_NEEDS:
        for file in distribution(name).files or ():
            if ".." not in file.parts:
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), packages / file)
    zipfile.ZipFile(setuptools_wheel).extractall(packages)
    return tmp_path / "bin/python"


def run(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-I", *arguments], cwd=python.parent, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.timeout(BUILD_S)
def test_the_wheel_alone_is_the_engine(python: Path) -> None:
    ran = run(python, str(ROOT / "examples/embed_engine.py"))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "targets: 2" in ran.stdout


@pytest.mark.timeout(BUILD_S)
def test_the_wheel_alone_has_nothing_generic_at_the_top(python: Path) -> None:
    found = run(python, "-c", "import importlib.util as u; print([u.find_spec(n) for n in ('services', 'benchmarks')])")
    assert found.stdout == "[None, None]\n"


@pytest.mark.timeout(BUILD_S)
@pytest.mark.parametrize(("arguments", "code"), [((), 0), (("--version",), 0), (("up",), 2)])
def test_without_the_services_the_command_says_how_to_get_them(
    python: Path, arguments: tuple[str, ...], code: int
) -> None:
    ran = run(python, "-m", "fanout", *arguments)
    assert ran.returncode == code
    assert ran.stdout.startswith(f"fanout {fanout.__version__}")
    assert "In the checkout: make build, or pip install ./packaging/services" in ran.stdout
    assert "fanout[" not in ran.stdout


@pytest.mark.timeout(BUILD_S)
def test_the_wheel_alone_has_the_protocol_of_the_client_and_says_what_its_sockets_need(python: Path) -> None:
    assert run(python, "-c", "import fanout.client").returncode == 0
    with_sockets = run(python, "-c", "import fanout.client.connection")
    assert with_sockets.returncode == 1
    assert "pip install 'fanout[client]'" in with_sockets.stderr


def test_the_library_loads_no_client() -> None:
    script = "import sys, fanout; print([name for name in sys.modules if name.startswith('fanout.client')])"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "[]\n"


def test_the_extra_of_the_client_is_what_the_client_imports() -> None:
    extra = project(ROOT)["optional-dependencies"]["client"]
    assert [need.partition(">")[0] for need in extra] == ["httpx", "websockets"]


def test_with_the_services_the_module_is_the_command() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "fanout", "--version"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ran.returncode, ran.stdout) == (0, f"fanout {fanout.__version__}\n")


def test_one_version_stands_everywhere() -> None:
    library, services = project(ROOT), project(ROOT / "packaging/services")
    crates = tomllib.loads((ROOT / "core_ext/Cargo.toml").read_text())["workspace"]["package"]["version"]
    assert fanout.__version__ == library["version"] == services["version"] == crates
    assert f"fanout[client]=={crates}" in services["dependencies"]


def test_the_library_depends_on_what_it_imports_and_no_more() -> None:
    assert [need.partition(">")[0] for need in project(ROOT)["dependencies"]] == list(LIBRARY_NEEDS)
