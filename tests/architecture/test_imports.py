"""Who may import whom: composition -> adapters -> ports; behaviour -> the library; never upward, never sideways.

The benchmarks know the library alone, but for those of running services; and nothing but an entry point knows them.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src"
PURE_LIBRARIES = {"msgspec", "orjson"}
BEHAVIOUR_LIBRARIES = PURE_LIBRARIES | {"structlog", "prometheus_client"}
RUNTIME_LIBRARIES = BEHAVIOUR_LIBRARIES | {"uvicorn", "pydantic", "pydantic_core", "pydantic_settings", "jwt", "httpx"}
NO_SERVICE = {"adapters", "runtime", "composition", "cli"}
CLIENTS_IN_THE_STANDARD_LIBRARY = {"sqlite3"}
NOT_FOR_ADAPTERS = RUNTIME_LIBRARIES - BEHAVIOUR_LIBRARIES - {"httpx"}
SHARED_CLIENTS = {"sqlite3": {"embedded", "sqlite"}}
"""Client libraries that more than one adapter uses: the embedded log is a file of SQLite."""
CLIENT_WITH_SOCKETS = Path("fanout", "client", "connection.py")
CLIENT_EXTRA = {"httpx", "websockets"}
"""What the extra `fanout[client]` installs."""
MAX_LINES = 400
MAX_STUB_LINES = 1_100
"""The compiled module is one, and its documentation stands where editors look for it."""

SERVICES = {path.name for path in (SOURCES / "services").iterdir() if (path / "__init__.py").exists()} - NO_SERVICE
MODULES = sorted(path.relative_to(SOURCES) for path in SOURCES.rglob("*.py"))
BENCHMARKS = sorted((ROOT / "benchmarks").rglob("*.py"))
LIVE = ROOT / "benchmarks" / "live"
"""What measures services that run: it composes them, and has the client libraries as the alternative."""
BENCHMARK_LIBRARIES = {"msgspec", "rich", "typer", "pytest", "pytest_benchmark"}
LIVE_LIBRARIES = {"cassandra", "msgspec", "nats", "prometheus_client", "pymongo", "redis", "uvloop", "websockets"}


def imports_of(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse((SOURCES / module).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            assert node.module is not None
            yield node.module


def own(imported: str) -> bool:
    return imported.split(".", maxsplit=1)[0] in {"fanout", "services", "benchmarks"}


def third_party(module: Path) -> set[str]:
    roots = {name.split(".")[0] for name in imports_of(module) if not own(name)}
    return {root for root in roots if root not in sys.stdlib_module_names or root in CLIENTS_IN_THE_STANDARD_LIBRARY}


def services_imported(module: Path) -> set[str]:
    return {name for name in imports_of(module) if name.split(".")[0] == "services"}


def allowed_services(module: Path) -> set[str]:
    """Prefixes of `services.` modules that a module may import."""
    _, room, *rest = module.parts
    if room == "cli":
        return {"services."}
    if room == "composition":
        return {f"services.{other}" for other in SERVICES | {"adapters", "composition", "runtime"}}
    if room == "runtime":
        return {"services.runtime"}
    if room == "adapters":
        return {
            "services.runtime.certificates",
            "services.runtime.gaps",
            "services.runtime.lost_connections",
            "services.runtime.skipping",
            "services.runtime.stored_ids",
            "services.runtime.tasks",
            "services.runtime.time_slice",
            f"services.adapters.{rest[0].removesuffix('.py')}",
            "services.adapters.sqlite",
        }
    return {f"services.{room}", "services.runtime"}


def allowed_libraries(module: Path) -> set[str]:
    package, room, *_ = module.parts
    if module == CLIENT_WITH_SOCKETS:
        return PURE_LIBRARIES | CLIENT_EXTRA
    if package == "fanout":
        return PURE_LIBRARIES
    if room in {"composition", "cli"}:
        return third_party(module)
    if room == "runtime":
        return RUNTIME_LIBRARIES
    if room == "adapters":
        return third_party(module) - NOT_FOR_ADAPTERS
    return BEHAVIOUR_LIBRARIES


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_only_what_its_room_may(module: Path) -> None:
    if module.parts[0] == "fanout":
        assert not services_imported(module)
    elif len(module.parts) > 2:
        prefixes = tuple(allowed_services(module))
        assert not {name for name in services_imported(module) if not name.startswith(prefixes)}
    if len(module.parts) > 2 or module.parts[0] == "fanout":
        assert third_party(module) <= allowed_libraries(module)


def test_the_mechanism_of_the_table_of_backends_knows_no_adapter() -> None:
    for name in ("backends", "running", "deployment_id"):
        imported = services_imported(Path("services", "composition", f"{name}.py"))
        assert not {module for module in imported if module.startswith("services.adapters")}


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_nothing_imports_the_benchmarks(module: Path) -> None:
    assert "benchmarks" not in {name.split(".")[0] for name in imports_of(module)}


@pytest.mark.parametrize("module", [module for module in MODULES if module.parts[0] == "fanout"], ids=str)
def test_nothing_in_the_library_imports_the_client_with_sockets(module: Path) -> None:
    assert "fanout.client.connection" not in set(imports_of(module))


@pytest.mark.parametrize("module", BENCHMARKS, ids=str)
def test_the_benchmarks_measure_the_library_alone_or_services_that_run(module: Path) -> None:
    if LIVE in module.parents:
        assert not {name for name in services_imported(module) if name.startswith("services.cli")}
        assert third_party(module) <= LIVE_LIBRARIES
    else:
        assert not services_imported(module)
        assert third_party(module) <= BENCHMARK_LIBRARIES


def test_each_client_library_is_used_by_one_adapter() -> None:
    users: dict[str, set[str]] = {}
    for module in MODULES:
        if module.parts[:2] == ("services", "adapters"):
            for library in third_party(module) - BEHAVIOUR_LIBRARIES:
                users.setdefault(library, set()).add(module.parts[2].removesuffix(".py"))
    assert users.keys() >= {"cassandra", "nats", "redis", "sqlite3", "websockets"}
    assert {library: rooms for library, rooms in users.items() if len(rooms) > 1} == SHARED_CLIENTS


def test_every_service_is_composed() -> None:
    imported = {name for module in MODULES if module.parts[1] == "composition" for name in services_imported(module)}
    assert {name.split(".")[1] for name in imported} - NO_SERVICE == SERVICES


OURS = sorted(
    path.relative_to(ROOT)
    for folder in ("src", "tests", "benchmarks", "core_ext", "tools")
    for pattern in ("*.py", "*.rs", "*.pyi", "*.pyx")
    for path in (ROOT / folder).rglob(pattern)
    if "target" not in path.parts
)


@pytest.mark.parametrize("module", OURS, ids=str)
def test_no_module_is_longer_than_a_reader_can_hold(module: Path) -> None:
    limit = MAX_STUB_LINES if module.suffix == ".pyi" else MAX_LINES
    assert len((ROOT / module).read_text().splitlines()) <= limit
