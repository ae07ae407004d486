"""Addresses and the folder of snapshots."""

import socket
from pathlib import Path

import pytest

from tests.support.checking import check, problems
from tests.support.servers import free_port


class TestAddresses:
    @pytest.mark.parametrize("name", ["listen", "ws_listen"])
    def test_one_in_use_is_a_problem_for_a_service_that_is_to_be_started(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            monkeypatch.setenv(f"FANOUT_{name.upper()}", address)
            code, said = check("up")
            assert code == 2
            assert problems(said)[name].startswith(f"FANOUT_{name.upper()}: {address} is in use by another process;")
            code, said = check()
            assert code == 0
            assert said[name][0][0] == "ok"

    @pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - bound for a moment, by a test
    def test_one_for_both_is_a_problem_for_a_service_that_serves_both(
        self, host: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        port = free_port()
        monkeypatch.setenv("FANOUT_LISTEN", f"{host}:{port}")
        monkeypatch.setenv("FANOUT_WS_LISTEN", f"127.0.0.1:{port}")
        code, said = check("up")
        assert code == 2
        assert problems(said)["ws_listen"].startswith(f"FANOUT_WS_LISTEN: 127.0.0.1:{port} is FANOUT_LISTEN's too")
        code, said = check()
        assert (code, problems(said)) == (0, {})

    def test_one_of_another_machine_is_a_problem(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FANOUT_LISTEN", "192.0.2.1:8080")
        code, said = check()
        assert code == 2
        assert "192.0.2.1:8080 cannot be listened on" in problems(said)["listen"]


class TestSnapshot:
    def test_without_one_there_is_nothing_to_look_at(self) -> None:
        assert check("up")[1]["snapshot"] == [("ok", "none is kept: the table is loaded from the stores at each start")]

    def test_in_a_folder_that_can_be_written_is_good(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FANOUT_SNAPSHOT", "table.snapshot")
        code, said = check("up")
        assert (code, said["snapshot"][0][0]) == (0, "ok")

    def test_in_a_folder_that_is_not_there_is_a_problem(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("FANOUT_SNAPSHOT", str(tmp_path / "gone" / "table.snapshot"))
        code, said = check("up")
        assert code == 2
        assert problems(said)["snapshot"].startswith(f"FANOUT_SNAPSHOT: {tmp_path / 'gone'} is no folder that can be")
