"""The command, and that a seed gives the same run in every process."""

import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.simulation import __main__ as command
from tests.simulation.drawing import _KINDS, drawn
from tests.simulation.evidence import Broken
from tests.simulation.history import History
from tests.simulation.hosts import VirtualTime
from tests.simulation.plan import SERVERS, Action, Fault, Plan, Shape
from tests.simulation.planted import PLANTED
from tests.simulation.run import Outcome
from tests.support.simulated import SMALL

ROOT = Path(__file__).parents[2]
DIGEST = re.compile(r"[0-9a-f]{64}-[0-9a-f]{8}")


def everything() -> Plan:
    """A plan with snapshots, in which every kind of fault strikes."""
    aims = {"away": ("redis", ""), "stand still": ("stores", ""), "empty": ("redis", ""), "refuse": ("nats", "")}
    aims |= {"lose newest": ("nats", "MESSAGES"), "another": ("nats", "META")}
    aims |= dict.fromkeys(("cut", "stall", "slow"), ("worker1", "nats"))
    kinds = sorted(set(_KINDS))
    faults = [
        Fault(3.0 + 2 * n, kind, *aims.get(kind, ("instance1", "")), seconds=1.0 + n % 3, amount=2)
        for n, kind in enumerate(kinds)
    ]
    devices = {"ann-phone": "ann", "ann-desk": "ann", "bob-phone": "bob"}
    actions = [Action(1.0, "connect", device) for device in devices]
    actions += [Action(4.0 + 0.7 * n, "post", "ann", "room1") for n in range(30)]
    actions += [Action(9.0, "leave", "bob", "room1"), Action(9.2, "join", "bob", "room1")]
    shape = Shape(snapshots=True, redeliver=0.1, lose_ack=0.1, skew_s=2.0)
    return Plan(5, shape, devices, {"room1": ["ann", "bob"]}, actions, faults)


def run_twice(*arguments: str) -> list[str]:
    """What the command prints in two processes that hash strings differently."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.simulation", *arguments],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for hash_seed in ("1", "2")
    ]
    printed = [process.communicate(timeout=60)[0] for process in started]
    assert {process.returncode for process in started} == {0}
    return printed


@pytest.mark.parametrize("seed", [next(seed for seed in range(1, 99) if drawn(seed).shape.snapshots)])
def test_a_seed_gives_the_same_run_in_every_process(seed: int) -> None:
    first, second = run_twice("--seed", str(seed))
    assert first == second
    assert first.startswith(f"Seed {seed}. ")
    assert DIGEST.fullmatch(first.splitlines()[-1])


def test_many_seeds_give_the_same_runs_in_every_process() -> None:
    first, second = (text.splitlines()[-1] for text in run_twice("--seeds", "12", "--from", "13", "--jobs", "1"))
    assert first == second
    assert first.startswith("hash: ")


def test_a_plan_with_every_kind_of_fault_gives_the_same_run_in_every_process(tmp_path: Path) -> None:
    plan = everything()
    assert {fault.what for fault in plan.faults} == set(_KINDS)
    assert {fault.on for fault in plan.faults} >= set(SERVERS)
    file = tmp_path / "plan.json"
    file.write_bytes(msgspec.json.encode(plan))
    first, second = run_twice("--plan", str(file))
    assert first == second
    assert DIGEST.fullmatch(first.splitlines()[-1])


class Simulated:
    """Runs no plan; some seeds break a promise, and others do so while a fault is planted."""

    def __init__(self, breaks: Collection[int], when_planted: Collection[int]) -> None:
        self.plans: list[Plan] = []
        self.traced: list[Plan] = []
        self.crashes: set[int] = set()
        self._breaks = breaks
        self._when_planted = when_planted
        self._planted = ""

    @contextmanager
    def plant(self, name: str) -> Iterator[None]:
        self._planted = name
        yield
        self._planted = ""

    def __call__(self, plan: Plan, *, traced: bool = False) -> Outcome:
        (self.traced if traced else self.plans).append(plan)
        if plan.seed in self.crashes:
            raise KeyError("gremlin")
        breaks = plan.seed in self._breaks or (self._planted and plan.seed in self._when_planted)
        broken = [Broken("missed", "ann missed m1")] if breaks else []
        return Outcome(plan, History(VirtualTime()), broken, 36.0, 9, "abc")


def simulated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *breaks: int, when_planted: Collection[int] = ()
) -> Simulated:
    """Have the command run nothing, in a folder of its own."""
    fake = Simulated(breaks, when_planted)
    monkeypatch.setattr(command, "planted", fake.plant)
    monkeypatch.setattr(command, "simulate", fake)
    monkeypatch.setattr(command, "shrink", lambda outcome, _said: outcome)
    monkeypatch.chdir(tmp_path)
    return fake


def test_one_seed_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake = simulated(monkeypatch, tmp_path, 8)
    assert command.main(["--seed", "7"]) == 0
    assert fake.traced == [drawn(7)]
    printed = capsys.readouterr().out
    assert printed.startswith("Seed 7. ")
    assert printed.endswith("Every promise holds.\n\nabc\n")
    assert command.main(["--seed", "8"]) == 1
    assert "missed: ann missed m1" in capsys.readouterr().out


def test_the_plan_of_a_file_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = simulated(monkeypatch, tmp_path)
    (tmp_path / "plan.json").write_bytes(msgspec.json.encode(SMALL))
    assert command.main(["--plan", "plan.json"]) == 0
    assert fake.traced == [SMALL]
    assert capsys.readouterr().out.startswith("Seed 1. ")


def test_many_seeds_are_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = simulated(monkeypatch, tmp_path)
    assert command.main(["--from", "5", "--seeds", "10", "--jobs", "1"]) == 0
    assert [plan.seed for plan in fake.plans] == list(range(5, 15))
    printed = capsys.readouterr().out
    assert "10 of 10 seeds" in printed
    assert "0.1 virtual hours, 0 with a broken promise" in printed
    kills = sum(fault.what == "kill" for plan in fake.plans for fault in plan.faults)
    posts = sum(action.what == "post" for plan in fake.plans for action in plan.actions)
    assert f"{kills} kill" in printed
    assert f"{posts} post" in printed


def test_the_first_seed_that_breaks_a_promise_is_shrunk_told_and_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulated(monkeypatch, tmp_path, 2, 4)
    assert command.main(["--seeds", "5", "--jobs", "1"]) == 1
    printed = capsys.readouterr().out
    assert "seed 2: missed: ann missed m1" in printed
    assert "seed 4: missed: ann missed m1" in printed
    assert "2 with a broken promise" in printed
    kept = tmp_path / command.KEPT_IN / "2.json"
    assert msgspec.json.decode(kept.read_bytes(), type=Plan) == drawn(2)
    assert "shrinking seed 2" in printed
    assert "build/simulation/2.json" in printed


def test_a_seed_with_which_the_simulation_fails_is_told_and_the_others_are_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = simulated(monkeypatch, tmp_path, 3)
    fake.crashes = {2}
    assert command.main(["--seeds", "5", "--jobs", "1"]) == 1
    printed = capsys.readouterr().out
    assert "seed 2: the simulation failed: Traceback" in printed
    assert "KeyError: 'gremlin'" in printed
    assert "5 of 5 seeds" in printed
    assert "2 with a broken promise" in printed
    assert "shrinking seed 3" in printed


def test_seeds_with_which_the_simulation_fails_alone_are_not_shrunk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulated(monkeypatch, tmp_path).crashes = {2}
    assert command.main(["--seeds", "3", "--jobs", "1"]) == 1
    assert "shrinking" not in capsys.readouterr().out
    assert command.main(["--planted", "all", "--seeds", "3", "--jobs", "1"]) == 1
    assert capsys.readouterr().out.count("NOT FOUND in 3 seeds") == len(PLANTED)


def test_each_planted_fault_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulated(monkeypatch, tmp_path, when_planted=(3, 4))
    assert command.main(["--planted", "all", "--seeds", "5", "--jobs", "1"]) == 0
    printed = capsys.readouterr().out
    for name, fault in PLANTED.items():
        assert f"{name}: found by seed 3, after 3 seeds" in printed
        assert fault.what in printed


def test_a_planted_fault_that_is_not_found_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulated(monkeypatch, tmp_path)
    assert command.main(["--planted", "all", "--seeds", "2", "--jobs", "1"]) == 1
    assert capsys.readouterr().out.count("NOT FOUND in 2 seeds") == len(PLANTED)


def test_a_planted_fault_is_not_found_by_a_seed_that_breaks_a_promise_without_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulated(monkeypatch, tmp_path, 2, when_planted=(4,))
    assert command.main(["--planted", "all", "--seeds", "5", "--jobs", "1"]) == 0
    assert capsys.readouterr().out.count("found by seed 4, after 4 seeds") == len(PLANTED)


def test_an_unknown_fault_cannot_be_planted(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--planted", "gremlins"])
    assert "gremlins" in capsys.readouterr().err
