"""Streams of others: no log is opened beside them, they stay as they are, and are named with the remedy."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fanout.errors import ForeignStore
from fanout.streams import DEAD, MESSAGES, META
from services.adapters.embedded.deployment import EmbeddedDeployment
from services.adapters.nats import NatsConnection, NatsLog, api
from services.adapters.nats.names import Names
from tests.support.nats import connected
from tests.support.servers import NatsServer


@pytest.fixture
async def nc(nats_server: NatsServer) -> AsyncIterator[NatsConnection]:
    async with connected(nats_server.url) as connection:
        yield connection


def foreign(name: str, *subjects: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "subjects": list(subjects), "retention": "limits", "storage": "file", **more}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        pytest.param(foreign(META, "orders.*"), "its subjects are orders.*", id="other subjects"),
        pytest.param(foreign(DEAD, "dead.>", retention="workqueue"), "its retention is workqueue", id="a work queue"),
        pytest.param(foreign(META, "channels.member.left.*", retention="interest"), "interest", id="by interest"),
    ],
)
async def test_one_of_our_names_is_refused_and_left_as_it_is(
    nc: NatsConnection, config: dict[str, Any], reason: str
) -> None:
    before = (await api.call(nc, f"STREAM.CREATE.{config['name']}", config))["config"]
    with pytest.raises(ForeignStore, match=f"the stream {config['name']} is not Fanout's.*FANOUT_PREFIX") as caught:
        await NatsLog.open(nc, EmbeddedDeployment("test"))
    assert reason in str(caught.value)
    assert (await api.stream_info(nc, config["name"]))["config"] == before


@pytest.mark.parametrize("subjects", ["messages.>", "channels.member.left.general", "dead.letters"])
async def test_one_that_holds_our_subjects_is_named(nc: NatsConnection, subjects: str) -> None:
    await api.call(nc, "STREAM.CREATE.AUDIT", foreign("AUDIT", subjects))
    with pytest.raises(ForeignStore, match=r"the stream AUDIT holds .*FANOUT_PREFIX"):
        await NatsLog.open(nc, EmbeddedDeployment("test"))


async def test_one_that_holds_a_subject_which_ours_lacks_is_named(nc: NatsConnection) -> None:
    await api.call(nc, f"STREAM.CREATE.{META}", foreign(META, "channels.member.joined.*"))
    await api.call(nc, "STREAM.CREATE.AUDIT", foreign("AUDIT", "channels.member.left.*"))
    with pytest.raises(ForeignStore, match=r"the stream AUDIT holds channels\.member\.left\.\*, which META needs"):
        await NatsLog.open(nc, EmbeddedDeployment("test"))


async def test_the_remedy_helps(nc: NatsConnection) -> None:
    await api.call(nc, "STREAM.CREATE.AUDIT", foreign("AUDIT", "messages.>"))
    await api.call(nc, f"STREAM.CREATE.{META}", foreign(META, "orders.*"))
    log = await NatsLog.open(nc, EmbeddedDeployment("test"), names=Names("x"))
    assert (await log.append("messages.send.general", b"{}", msg_id="a")).seq == 1
    assert await log.last_seq(MESSAGES) == 1
    await log.close()
