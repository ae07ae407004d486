"""Refuses a compiled core that was built from other sources than those in the checkout."""

import hashlib
from pathlib import Path
from typing import Final

REMEDY: Final = "run `make build` (or `pip install -e .`) in the checkout"

_PATTERNS: Final = ("*.rs", "Cargo.toml", "Cargo.lock")


def refuse_stale_binary(built_from: str, package: Path = Path(__file__).parent) -> None:
    """Compare the compiled core with the Rust sources beside it; a wheel has none, so there is nothing to compare.

    Args:
        built_from: the digest of the sources that the core was built from, `fanout._core.source_digest`.
        package: the folder of the package `fanout`.

    Raises:
        ImportError: they differ; the text names the remedy.
    """
    sources = _sources_beside(package)
    if sources is not None and source_digest(sources) != built_from:
        raise ImportError(f"the compiled core of fanout is older or newer than its sources in {sources}: {REMEDY}")


def source_digest(root: Path) -> str:
    """SHA-256 over the Rust sources below `root`, as `core_ext/build/main.rs` computes it."""
    found = {path.relative_to(root).as_posix(): path for pattern in _PATTERNS for path in root.rglob(pattern)}
    digest = hashlib.sha256()
    for name in sorted(name for name in found if "target" not in name.split("/")):
        content = found[name].read_bytes()
        digest.update(f"{name}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _sources_beside(package: Path) -> Path | None:
    if package.parent.name != "src":
        return None
    sources = package.parents[1] / "core_ext"
    return sources if (sources / "Cargo.toml").is_file() else None
