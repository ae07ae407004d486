"""`fanout check`, run and read."""

from collections.abc import Mapping

from typer.testing import CliRunner

from services.cli.main import app

Said = dict[str, list[tuple[str, str]]]
"""What is said of each dependency: (kind, text) by its name."""


def check(*service: str) -> tuple[int, Said]:
    """The exit code, and what is said of each dependency, settings left out."""
    result = CliRunner().invoke(app, ["check", *service])
    said: Said = {}
    for line in result.output.splitlines():
        kind, name, *words = line.split()
        if not name.startswith("FANOUT_"):
            said.setdefault(name, []).append((kind, " ".join(words)))
    return result.exit_code, said


def problems(said: Mapping[str, list[tuple[str, str]]]) -> dict[str, str]:
    """What is bad, by its name."""
    return {name: text for name, lines in said.items() for kind, text in lines if kind == "bad"}


def weak(said: Mapping[str, list[tuple[str, str]]], name: str) -> list[str]:
    """What works but should be changed."""
    return [text for kind, text in said[name] if kind == "weak"]
