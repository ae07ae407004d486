"""Servers that the workers of pytest-xdist share, because they take long to start and much memory."""

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.servers import ForgetfulCassandra

_STARTED: list[ForgetfulCassandra] = []
"""Servers that this process started. They may have to run longer than it needs them."""


@contextmanager
def shared_cassandra(factory: pytest.TempPathFactory) -> Iterator[str]:
    """The `host:port` of a Cassandra that the first worker to need it starts, and the last one ends.

    A worker that uses it holds a shared lock, which goes with the worker however that ends.
    """
    folder = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    running, coming_or_going, users = (folder / f"cassandra.{name}" for name in ("running", "changing", "users"))
    with ExitStack() as stack:
        with _locked(coming_or_going, fcntl.LOCK_EX):
            using = stack.enter_context(_locked(users, fcntl.LOCK_SH))
            if not running.exists():
                running.write_text(_start(folder / "cassandra"))
        host, pid = running.read_text().split()
        try:
            yield host
        finally:
            with _locked(coming_or_going, fcntl.LOCK_EX), suppress(BlockingIOError):
                fcntl.flock(using, fcntl.LOCK_EX | fcntl.LOCK_NB)
                running.unlink()
                os.kill(int(pid), signal.SIGKILL)


def _start(folder: Path) -> str:
    """Start one; its host and process."""
    server = ForgetfulCassandra(folder)
    try:
        server.start()
    except BaseException:
        server.close()
        raise
    _STARTED.append(server)
    return f"127.0.0.1:{server.port} {server.pid}"


@contextmanager
def _locked(path: Path, how: int) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, how)
        yield descriptor
    finally:
        os.close(descriptor)
