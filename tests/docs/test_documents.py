"""The documents are true: settings are all described, and what is shown runs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from services.cli.main import app
from services.runtime.settings import PREFIX, Settings
from services.runtime.unknown import CLIENT_VARIABLES
from tests.support.cluster import Service

ROOT = Path(__file__).parents[2]


def test_every_setting_is_described_and_no_other() -> None:
    services, clients = (ROOT / "docs/settings.md").read_text().split("## Variables of the client commands")
    assert variables_of_table(services) == {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert variables_of_table(clients) == CLIENT_VARIABLES


def test_no_command_reads_a_variable_that_is_not_described() -> None:
    commands = typer.main.get_group(app).commands.values()
    read = {parameter.envvar for command in commands for parameter in command.params if parameter.envvar}
    assert read == CLIENT_VARIABLES


def test_links_between_documents_lead_somewhere() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def variables_of_table(document: str) -> set[str]:
    first_cells = re.findall(r"^\|([^|]*)\|", document, re.MULTILINE)
    return set(re.findall(r"`(FANOUT_[A-Z_]+)`", " ".join(first_cells)))


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_examples_run(example: Path) -> None:
    ran = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout


@pytest.mark.system
async def test_the_first_steps_of_the_readme_deliver_a_message(readme_system: Service) -> None:
    """Runs the shell blocks of "Five minutes" against the system that they start, on other ports."""
    steps = (ROOT / "README.md").read_text().partition("## Five minutes")[2].partition("\n## ")[0]
    _, create, send = re.findall(r"```sh\n(.*?)```", steps, re.DOTALL)
    create_channel, listen = create.replace(". .venv/bin/activate\n", "").rsplit("fanout listen", 1)
    shell(readme_system, create_channel)
    listener = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs in this loop
        ["bash", "-c", to_test(readme_system, f"exec fanout listen {listen.strip()} --json")],
        stdout=subprocess.PIPE,
        env=environment(readme_system),
        text=True,
    )
    try:
        await readme_system.wait_for_log("session opened")
        shell(readme_system, send.replace(". .venv/bin/activate\n", ""))
        assert listener.stdout is not None
        received = next(frame for line in listener.stdout if (frame := json.loads(line))["type"] == "message.new")
        assert received["message"]["text"] == "Hello, Bob"
        assert received["message"]["sender_id"] == "alice"
    finally:
        listener.terminate()
        listener.wait(10)


def shell(system: Service, script: str) -> str:
    command = ["bash", "-euc", to_test(system, script)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment(system))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def to_test(system: Service, script: str) -> str:
    script = re.sub(r"fanout (listen|send)([^|;\n]*)", rf"fanout \1\2 --url {system.url}", script)
    return script.replace("http://127.0.0.1:8080", system.url)


def environment(system: Service) -> dict[str, str]:
    return {**system.env, "PATH": f"{Path(sys.executable).parent}:{system.env['PATH']}"}
