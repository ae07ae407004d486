"""Servers that the workers of pytest-xdist share, because they take long to start and much memory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.servers import ForgetfulCassandra


@contextmanager
def shared_cassandra(factory: pytest.TempPathFactory) -> Iterator[str]:
    """The `host:port` of a Cassandra that the first worker to need it starts, and ends when the others are done.

    A worker that uses it holds a shared lock, which goes with the worker however that ends.
    """
    folder = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    host = folder / "cassandra.host"
    with ExitStack() as stack:
        with _locked(folder / "cassandra.starting", fcntl.LOCK_EX):
            using = stack.enter_context(_locked(folder / "cassandra.users", fcntl.LOCK_SH))
            started = None if host.exists() else _started(folder / "cassandra")
            if started is not None:
                host.write_text(f"127.0.0.1:{started.port}")
        try:
            yield host.read_text()
        finally:
            if started is not None:
                with _locked(folder / "cassandra.starting", fcntl.LOCK_EX):
                    host.unlink()  # who comes now waits, and starts another
                    fcntl.flock(using, fcntl.LOCK_EX)
                    started.close()


def _started(folder: Path) -> ForgetfulCassandra:
    server = ForgetfulCassandra(folder)
    try:
        server.start()
    except BaseException:
        server.close()
        raise
    return server


@contextmanager
def _locked(path: Path, how: int) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, how)
        yield descriptor
    finally:
        os.close(descriptor)
