"""Real servers for tests: each on a free loopback port, with a directory of its own, and stopped by the test."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import ClassVar

import pytest

from benchmarks.errors import BenchError
from benchmarks.live.servers import (
    CQL_OPTIONS,
    CQL_RESPONSE,
    MONGO_PING,
    cassandra_command,
    exchange,
    ferretdb_command,
    find_program,
    nats_command,
    redis_command,
)

_READY_WITHIN_S = 60.0
_STOP_WITHIN_S = 30.0
_LOOK_EVERY_S = 0.005


class ServerError(Exception):
    """A server did not come up; the text has the end of its log."""


def find_binary(name: str) -> Path | None:
    """Where a server's program is, if there is one."""
    try:
        return Path(find_program(name))
    except BenchError:
        return None


def binary_or_skip(name: str) -> Path:
    """The program of a server, or a skip; with `FANOUT_REQUIRE_SERVERS=1` a failure."""
    binary = find_binary(name)
    if binary is None:
        reason = f"{name} is not installed; run tools/fetch-servers"
        if os.environ.get("FANOUT_REQUIRE_SERVERS") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return binary


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with reserved_port() as held:
        port: int = held.getsockname()[1]
    return port


def reserved_port() -> socket.socket:
    """A socket that keeps a loopback port from everybody but a server that is told to listen there.

    It does not listen itself, and servers set SO_REUSEADDR as it does. While it is open, no process is given the port,
    nor does a client that tries to reach it: on loopback that one would find itself connected to itself.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


class Server:
    """A server process that keeps its port and its storage from one start to the next.

    Args:
        folder: where its storage and its log go.
        binary: its program; looked up by name when it is not given.
    """

    program: ClassVar[str]
    scheme: ClassVar[str]
    ready_within_s: ClassVar[float] = _READY_WITHIN_S

    def __init__(self, folder: Path, binary: Path | None = None) -> None:
        self.binary = binary or binary_or_skip(self.program)
        self.folder = folder
        self._held = reserved_port()
        self.port: int = self._held.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process."""
        return self._running().pid

    def start(self) -> None:
        """Start, and return when it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._launch()

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """End it, and give its port back."""
        self.kill()
        self._held.close()

    def restart(self) -> None:
        """Crash, and start again on the same port and storage."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Freeze it: its sockets stay open, and nothing answers. Returns when every thread of it stands still."""
        process = self._running()
        process.send_signal(signal.SIGSTOP)
        threads = Path(f"/proc/{process.pid}/task")
        deadline = time.monotonic() + _STOP_WITHIN_S
        while any(_state(thread) != "T" for thread in threads.iterdir()):
            assert time.monotonic() < deadline, "the server does not stand still"
            time.sleep(0.001)

    def resume(self) -> None:
        """Let a frozen server go on."""
        self._running().send_signal(signal.SIGCONT)

    def command(self) -> list[str]:
        """Its command line."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it serves clients now."""
        raise NotImplementedError

    def _launch(self) -> None:
        log = self.folder / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + self.ready_within_s
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerError(f"{self.binary} did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(_LOOK_EVERY_S)

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the server was not started"
        return self._process

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        if how is not signal.SIGKILL:
            process.send_signal(signal.SIGCONT)  # a frozen process heeds nothing but SIGKILL; it answers nobody before
        try:
            process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_WITHIN_S)


class NatsServer(Server):
    """nats-server with JetStream."""

    program = "nats-server"
    scheme = "nats"

    @property
    def store(self) -> Path:
        """Where its streams are."""
        return self.folder / "jetstream"

    def command(self) -> list[str]:
        return nats_command(str(self.binary), self.port, self.folder)

    def save(self, name: str = "saved") -> Path:
        """Restart it with a copy made of all that it holds; where the copy is."""
        copy = self.folder / name
        self.stop()
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.store, copy)
        self.start()
        return copy

    def lose_all_since(self, saved: Path) -> None:
        """Lose what came after `save`, as a server does that loses power or is restored."""
        self.kill()
        shutil.rmtree(self.store)
        shutil.copytree(saved, self.store)
        self.start()

    def lose_everything(self) -> None:
        """Come back with an empty disk."""
        self.kill()
        shutil.rmtree(self.store)
        self.start()

    def answers(self) -> bool:
        return exchange(self.port, b"").startswith(b"INFO ")


class ConfiguredNats(NatsServer):
    """nats-server with lines of its config file, which may be changed between two starts."""

    config = ""

    def command(self) -> list[str]:
        """Its command line."""
        file = self.folder / "server.conf"
        file.write_text(self.config)
        return [*super().command(), "-c", str(file)]


class RedisServer(Server):
    """redis-server that appends every write to disk, and gives notice of expired keys."""

    program = "redis-server"
    scheme = "redis"

    def command(self) -> list[str]:
        return redis_command(str(self.binary), self.port, self.folder)

    def answers(self) -> bool:
        return exchange(self.port, b"PING\r\n").startswith(b"+PONG")


class MongoServer(Server):
    """FerretDB, which speaks MongoDB's protocol. What it has acknowledged survives a kill."""

    program = "ferretdb"
    scheme = "mongodb"

    def command(self) -> list[str]:
        return ferretdb_command(str(self.binary), self.port, self.folder)

    def answers(self) -> bool:
        return bool(exchange(self.port, MONGO_PING))


class CassandraServer(Server):
    """Cassandra, of one node. Each test has a keyspace of its own, and each table takes about a MB of its heap."""

    program = "cassandra-server"
    scheme = "cassandra"
    ready_within_s = 110.0
    options: ClassVar[tuple[str, ...]] = ()

    def __init__(self, folder: Path, binary: Path | None = None) -> None:
        super().__init__(folder, binary)
        self._held_storage = reserved_port()

    def command(self) -> list[str]:
        storage_port = self._held_storage.getsockname()[1]
        return [*cassandra_command(str(self.binary), self.port, self.folder, storage_port), *self.options]

    def close(self) -> None:
        super().close()
        self._held_storage.close()

    def answers(self) -> bool:
        return exchange(self.port, CQL_OPTIONS).startswith(CQL_RESPONSE)


class ForgetfulCassandra(CassandraServer):
    """A Cassandra that makes tables faster, and loses them when it is killed."""

    options = ("-Dcassandra.unsafesystem=true",)


def _state(thread: Path) -> str:
    """The scheduler's letter for a thread, proc(5): `T` is stopped."""
    return (thread / "stat").read_text().rpartition(")")[2].split()[0]
