"""The client of MongoDB: addresses, bounds, and what its errors mean."""

import re

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    CursorNotFound,
    ExecutionTimeout,
    InvalidOperation,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
)

from fanout.errors import OutcomeUnknown, StorageFull, Unavailable
from services.adapters.mongo import client

LOST = [
    AutoReconnect("connection closed"),
    NetworkTimeout("timed out"),
    NotPrimaryError("not primary", {"code": 10107}),
    ExecutionTimeout("operation exceeded time limit", 50),
    WaitQueueTimeoutError("no connection was free"),
    WriteConcernError("waiting for replication timed out", 64),
    OperationFailure("interrupted at shutdown", 11600),
    BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 64, "errmsg": "timed out"}]}),
]
REFUSED = [
    ServerSelectionTimeoutError("no servers found"),
    OperationFailure("not authorized", 13),
    OperationFailure("authentication failed", 18),
]
FAULTS = [OperationFailure("unknown operator", 9), InvalidOperation("cursor is used up")]


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
def test_a_write_without_an_answer_may_have_been_done(error: PyMongoError) -> None:
    with pytest.raises(OutcomeUnknown), client.writing("a test"):
        raise error


@pytest.mark.parametrize("error", REFUSED, ids=lambda error: type(error).__name__)
def test_a_write_that_no_server_took_was_not_done(error: PyMongoError) -> None:
    with pytest.raises(Unavailable) as caught, client.writing("a test"):
        raise error
    assert type(caught.value) is Unavailable


def test_a_full_disk_is_said() -> None:
    with pytest.raises(StorageFull), client.writing("a test"):
        raise OperationFailure("no space left on device", 14031)


@pytest.mark.parametrize("error", [*LOST, *REFUSED, CursorNotFound("cursor not found", 43)])
def test_a_read_that_fails_may_succeed_later(error: PyMongoError) -> None:
    with pytest.raises(Unavailable) as caught, client.reading("a test"):
        raise error
    assert type(caught.value) is Unavailable


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
def test_a_fault_of_this_program_is_no_outage(error: PyMongoError) -> None:
    with pytest.raises(type(error)), client.writing("a test"):
        raise error
    with pytest.raises(type(error)), client.reading("a test"):
        raise error


def test_what_failed_after_an_earlier_write_may_have_been_done() -> None:
    with pytest.raises(OutcomeUnknown, match="a test was begun: away"), client.begun("a test"):
        raise Unavailable("away")


@pytest.mark.parametrize(
    ("url", "prefix", "name"),
    [
        ("mongodb://127.0.0.1", "", "fanout"),
        ("mongodb://127.0.0.1/", "x", "x_fanout"),
        ("mongodb://127.0.0.1/chat", "", "chat"),
        ("mongodb://127.0.0.1/chat?replicaSet=rs0", "x", "chat"),
    ],
)
async def test_the_database_is_the_one_of_the_url_or_of_the_prefix(url: str, prefix: str, name: str) -> None:
    async with client.make_client(url) as opened:
        assert client.database_of(opened, prefix).name == name


async def test_user_and_password_are_percent_decoded_and_a_plus_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    async with client.make_client("mongodb://us%40er:p%2Fs%2Bs+w@127.0.0.1/?authSource=admin") as opened:
        credentials = opened.options.pool_options._credentials
    assert credentials is not None
    assert (credentials.username, credentials.password) == ("us@er", "p/s+s+w")


async def test_every_wait_is_bounded_and_writes_are_acknowledged_by_the_majority() -> None:
    url = "mongodb://127.0.0.1/?w=0&timeoutMS=90000&serverSelectionTimeoutMS=90000&readPreference=secondary"
    async with client.make_client(url) as opened:
        options = opened.options
    assert options.timeout is None
    assert options.server_selection_timeout == client.CONNECTING_S
    assert options.pool_options.wait_queue_timeout == client.CONNECTING_S
    assert options.pool_options.connect_timeout == client.CONNECTING_S
    assert options.pool_options.socket_timeout == client.TIMEOUT_S
    assert options.pool_options.max_pool_size == client.MAX_CONNECTIONS
    assert options.write_concern.document == {"w": "majority"}
    assert options.read_preference.name == "Primary"
    assert options.retry_writes
    assert options.retry_reads


@pytest.mark.parametrize("rest", ["127.0.0.1:port", "127.0.0.1/?tlsCAFile=/no/such/file", "127.0.0.1/a b.c"])
def test_an_address_with_an_error_is_not_quoted(rest: str) -> None:
    with pytest.raises(ValueError, match="does not understand") as caught:
        client.make_client(f"mongodb://user:hunter2@{rest}")
    assert not re.search("hunter2", str(caught.value))
    assert caught.value.__cause__ is None


async def test_a_client_that_was_closed_is_unavailable() -> None:
    opened: AsyncMongoClient[client.Document] = client.make_client("mongodb://127.0.0.1")
    await opened.close()
    with pytest.raises(Unavailable), client.reading("a test"):
        await opened.admin.command("ping")
