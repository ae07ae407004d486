"""`fanout import` as operators run it: bad lines of every kind, a kill in the middle, and users who are online."""

import asyncio
import random
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.adapters.mongo.memberships import MongoMemberships
from services.adapters.sqlite.memberships import SqliteMemberships
from services.composition.data_files import MEMBERSHIPS_FILE
from tests.support import soak
from tests.support.clients import Caller, listening
from tests.support.cluster import Cluster, Service
from tests.support.observing import eventually
from tests.support.record_files import json_lines
from tests.support.servers import MongoServer, NatsServer

pytestmark = pytest.mark.system

MIB = 1 << 20
WITHIN_S = 100.0
IMPORTED_WITHIN_S = 1_500.0
"""For the largest file; pytest ends the short tests earlier."""
CHANNELS = 100
GOOD = b'{"channel_id":"channel-%d","user_id":"user-%d"}'
BAD = {
    "truncated": b'{"channel_id":"channel-1","user_id":"us\n',
    "UTF-8": b'{"channel_id":"channel-1","user_id":"\xff\xfe"}\n',
    "user_id must be": b'{"channel_id":"channel-1","user_id":"a.b"}\n',
    "there is no channel nowhere": b'{"channel_id":"nowhere","user_id":"bob"}\n',
    "direct message": b'{"channel_id":"dm_%s","user_id":"bob"}\n' % (b"0" * 40),
    "longer than": b"x" * (50 * MIB) + b"\n",
}
REMARKED = {
    "byte order mark": b'\xef\xbb\xbf{"channel_id":"channel-1","user_id":"marked"}\n',
    "CR LF": b'{"channel_id":"channel-1","user_id":"windows"}\r\n',
    "blank": b"\n",
}


@asynccontextmanager
async def importing(cluster: Cluster, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """An import that runs; it is killed if it has not ended by the end of the context."""
    process = await cluster.command("import", *arguments)
    try:
        async with asyncio.timeout(IMPORTED_WITHIN_S):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


FROM_STDIN = ("memberships", "-", "--offline", "--create-channels", "alice")


async def run(cluster: Cluster, *arguments: str) -> tuple[int, str, str]:
    """Run an import to its end."""
    async with importing(cluster, *arguments) as process:
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def peak_bytes(cluster: Cluster, *arguments: str) -> int:
    """The most memory that a run of an import had, as far as it was seen."""
    async with importing(cluster, *arguments) as process:
        ended = asyncio.create_task(process.communicate())
        peak = 0
        while not ended.done():
            peak = max(peak, _peak_so_far(process.pid))
            await asyncio.wait([ended], timeout=0.02)
    assert process.returncode == 0, ended.result()
    return peak


def _peak_so_far(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it has ended
        return 0
    return max([0, *(int(kib) * 1024 for kib in re.findall(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE))])


def write_channels(folder: Path, count: int = CHANNELS) -> Path:
    path = folder / "channels.jsonl"
    path.write_bytes(
        json_lines([{"channel_id": f"channel-{number}", "name": "C", "created_by": "alice"} for number in range(count)])
    )
    return path


def write_memberships(folder: Path, count: int) -> Path:
    path = folder / "members.jsonl"
    with path.open("wb") as file:
        file.writelines(GOOD % (number % CHANNELS, number) + b"\n" for number in range(count))
    return path


def numbers_of(text: str, severity: str) -> dict[int, str]:
    """The reports of one severity, by the number of the line."""
    return {int(number): said for number, said in re.findall(rf"^{severity} +(\d+): (.*)$", text, re.MULTILINE)}


@asynccontextmanager
async def opened_store(cluster: Cluster) -> AsyncIterator[SqliteMemberships]:
    store = await SqliteMemberships.open(cluster.data / MEMBERSHIPS_FILE)
    try:
        yield store
    finally:
        await store.close()


@pytest.mark.parametrize("lines", soak.IMPORTED_LINES)
async def test_each_bad_line_is_reported_and_all_others_are_imported(tmp_path: Path, lines: int) -> None:
    cluster, choice = Cluster(tmp_path), random.Random(1)  # noqa: S311 - repeatable
    places = dict(zip(choice.sample(range(1, lines), len(BAD | REMARKED)), (BAD | REMARKED).items(), strict=True))
    path = tmp_path / "members.jsonl"
    with path.open("wb") as file:
        for number in range(1, lines):
            _, line = places.get(number, ("", GOOD % (number % CHANNELS, number) + b"\n"))
            file.write(line)
        file.write(GOOD % (0, lines))  # without a newline
    assert (await run(cluster, "channels", str(write_channels(tmp_path))))[0] == 0

    first_bad = min(number for number, (reason, _) in places.items() if reason in BAD)
    code, out, err = await run(cluster, "memberships", str(path), "--offline")
    assert (code, out) == (1, "")
    assert list(numbers_of(err, "bad")) == [first_bad]
    expected = {f"user-{number}" for number in range(1, lines + 1) if number not in places}
    expected |= {"marked", "windows"}
    async with opened_store(cluster) as store:
        assert len(await store.changed_since(0, limit=lines)) == first_bad - 1 - len(
            [number for number, (reason, _) in places.items() if reason == "blank" and number < first_bad]
        )

    code, out, err = await run(cluster, "memberships", str(path), "--offline", "--skip-errors")
    assert code == 0
    assert f"{lines:,} read, {len(expected):,} new, 0 present before, {len(BAD)} skipped, 1 blank" in out
    bad, weak = numbers_of(err, "bad"), numbers_of(err, "weak")
    assert set(bad) == {number for number, (reason, _) in places.items() if reason in BAD}
    assert all(places[number][0] in reason for number, reason in bad.items())
    assert all(places[number][0] in reason for number, reason in weak.items() if number != lines)
    assert "without a newline" in weak[lines]
    async with opened_store(cluster) as store:
        assert {each.user_id for each in await store.changed_since(0, limit=2 * lines)} == expected
        assert await store.count_unpublished() == 0


@pytest.mark.parametrize("lines", soak.LINES_OF_A_LARGE_FILE)
async def test_memory_does_not_grow_with_the_file(tmp_path: Path, lines: int) -> None:
    cluster = Cluster(tmp_path)
    await run(cluster, "channels", str(write_channels(tmp_path)))
    small = await peak_bytes(cluster, "memberships", str(write_memberships(tmp_path, 20_000)), "--offline")
    path = write_memberships(tmp_path, lines)
    with path.open("ab") as file:
        file.write(b"x" * (50 * MIB) + b"\n")
    large = await peak_bytes(cluster, "memberships", str(path), "--offline", "--skip-errors")
    assert large - small < 24 * MIB


@asynccontextmanager
async def _store(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[tuple[Cluster, object]]:
    folder: Path = request.getfixturevalue("tmp_path")
    if kind == "sqlite":
        cluster = Cluster(folder)
        assert (await run(cluster, "channels", str(write_channels(folder))))[0] == 0
        async with opened_store(cluster) as store:
            yield cluster, store
        return
    server: MongoServer = request.getfixturevalue("mongo_server")
    cluster = Cluster(folder, MONGO_URL=server.url)
    assert (await run(cluster, "channels", str(write_channels(folder))))[0] == 0
    mongo = await MongoMemberships.open(server.url)
    yield cluster, mongo
    await mongo.close()


@pytest.mark.parametrize(("kind", "count"), [("sqlite", 60_000), ("mongo", 25_000)])
async def test_an_import_that_is_killed_goes_on(request: pytest.FixtureRequest, kind: str, count: int) -> None:
    async with _store(kind, request) as (cluster, store):
        assert isinstance(store, SqliteMemberships | MongoMemberships)
        path = write_memberships(request.getfixturevalue("tmp_path"), count)

        async def has_begun() -> bool:
            return bool(await store.changed_since(0, limit=1))

        async with importing(cluster, "memberships", str(path), "--offline") as process:
            await eventually(has_begun, WITHIN_S)
            process.kill()
            await process.communicate()
        assert process.returncode == -signal.SIGKILL, "it ended before it was killed: let it import more"
        code, out, _ = await run(cluster, "memberships", str(path), "--offline")
        assert code == 0
        read, new, present = (int(number.replace(",", "")) for number in re.findall(r"([\d,]+) (?:read|new|pres)", out))
        assert (read, new + present) == (count, count)
        assert len({each.user_id for each in await store.changed_since(0, limit=2 * count)}) == count


async def test_a_user_who_is_online_gets_messages_of_a_channel_that_is_imported(
    up: Service, caller: Caller, tmp_path: Path
) -> None:
    cluster = Cluster(tmp_path)
    async with listening(up.ws_url, "user-7", "user-8", "user-9") as [seven, eight, nine]:
        assert (await run(cluster, "channels", str(write_channels(tmp_path))))[0] == 0
        path = tmp_path / "members.jsonl"
        path.write_bytes(json_lines([{"channel_id": "channel-1", "user_id": f"user-{n}"} for n in range(7, 9)]))
        assert (await run(cluster, "memberships", str(path)))[0] == 0
        await caller.say("user-7", "channel-1", "Welcome")
        for listener in (seven, eight):
            await listener.receives("member.joined", channel_id="channel-1", user_id=listener.user_id)
            await listener.until(lambda listener=listener: listener.texts() == ["Welcome"])  # type: ignore[misc]
    assert nine.texts() == []
    refused = await run(cluster, "memberships", str(path), "--offline", "--restart")
    assert refused[0] == 1
    assert "a fanout up runs" in refused[2]


async def test_an_import_beside_services_on_servers_is_delivered_by_them(
    tmp_path: Path, nats_server: NatsServer, redis_url: str, mongo_server: MongoServer
) -> None:
    cluster = Cluster(tmp_path, NATS_URL=nats_server.url, REDIS_URL=redis_url, MONGO_URL=mongo_server.url)
    try:
        await cluster.start_all({"message-writer": 1, "fanout": 1, "notification": 1, "gateway": 1})
        async with listening(cluster.services["notification-1"].ws_url, "user-3") as [three]:
            assert (await run(cluster, "channels", str(write_channels(tmp_path))))[0] == 0
            code, _, err = await run(cluster, "memberships", str(write_memberships(tmp_path, 60)))
            assert code == 0, err
            caller = Caller(cluster.services["gateway-1"].url)
            await caller.say("user-3", "channel-3", "Welcome")
            await three.until(lambda: three.texts() == ["Welcome"])
            await caller.close()
    finally:
        await cluster.kill()


async def test_an_import_from_standard_input_ends_with_it(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    async with importing(cluster, *FROM_STDIN) as process:
        out, _ = await process.communicate(json_lines([{"channel_id": "a", "user_id": "bob"}]))
    assert process.returncode == 0
    assert b"1 read, 1 new" in out


async def test_an_interrupted_import_says_how_it_goes_on(tmp_path: Path) -> None:
    """Nothing comes on standard input, and nothing ends it: it waits until it is interrupted."""
    cluster = Cluster(tmp_path)

    async def has_begun() -> bool:
        if not (cluster.data / MEMBERSHIPS_FILE).exists():
            return False
        async with opened_store(cluster) as store:
            return await store.is_member("a", "bob")

    async with importing(cluster, *FROM_STDIN) as process:
        assert process.stdin is not None
        process.stdin.write(json_lines([{"channel_id": "a", "user_id": "bob"}] * 10_000))
        await process.stdin.drain()
        await eventually(has_begun, WITHIN_S)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        err = await process.stderr.read()
        await process.wait()
    assert process.returncode == 130, err
    assert b"interrupted" in err
