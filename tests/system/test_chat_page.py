"""The chat page as people see it: two users, one of them with two devices, and an instance that is killed meanwhile."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.browser import Browser, Tab
from tests.support.clients import Caller
from tests.support.cluster import SECRET, Cluster, Service

DEMO = Path(__file__).parents[2] / "examples" / "chat" / "demo.py"
PICTURES = Path(__file__).parents[2] / "build" / "chat"
COUNTS = {"message-writer": 1, "receipt-writer": 1, "fanout": 1, "notification": 2}

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


class People(NamedTuple):
    """The windows: Alice has two devices."""

    alice: Tab
    alices_phone: Tab
    bob: Tab

    async def picture(self, name: str) -> None:
        """Take a screenshot of each window, to look at."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        for who, tab in zip(self._fields, self, strict=True):
            await tab.screenshot(PICTURES / f"{name}-{who}.png")


@pytest.fixture
async def gateway(cluster: Cluster) -> Service:
    """The gateway of a system with two instances, which allows pages of any origin."""
    await cluster.start("gateway-1", "serve", "gateway", CORS_ORIGINS="*")
    await cluster.start_all(COUNTS)
    return cluster.services["gateway-1"]


@pytest.fixture
async def page(gateway: Service, tmp_path: Path) -> AsyncIterator[str]:
    """The address of the page for the first user, from the demonstration itself."""
    env = gateway.env | {"FANOUT_JWT_SECRET": SECRET}
    arguments = DEMO, "--port", "0", "--gateway", gateway.url
    pipe = asyncio.subprocess.PIPE
    demo = await asyncio.create_subprocess_exec(
        sys.executable, *map(str, arguments), env=env, stdout=pipe, cwd=tmp_path
    )
    try:
        assert demo.stdout is not None
        yield (await demo.stdout.readline()).decode().strip().partition("?")[0]
    finally:
        demo.terminate()
        await demo.wait()


@pytest.fixture
async def people(browser: Browser, page: str) -> People:
    tabs = [await browser.open(f"{page}?user={user}") for user in ("alice", "alice", "bob")]
    for tab in tabs:
        await tab.until("document.querySelector('#title').textContent === '#general'")
        await tab.until("document.querySelector('#connection').textContent === 'connected'")
    return People(*tabs)


@pytest.fixture
async def caller(gateway: Service) -> AsyncIterator[Caller]:
    caller = Caller(gateway.url)
    yield caller
    await caller.close()


async def say(tab: Tab, text: str) -> None:
    await tab.type("#text", text)
    await tab.press_enter()


def shows(text: str, where: str = "#messages") -> str:
    return f"document.querySelector({where!r}).innerText.includes({text!r})"


def unread(channel: str, count: int) -> str:
    badge = f"document.querySelector('[data-channel={channel}] .unread').textContent"
    return f"{badge} === {str(count or '')!r}"


async def lines(tab: Tab) -> list[str]:
    texts = "[...document.querySelectorAll('#messages li:not(.pending) .text')].map((line) => line.textContent)"
    shown: list[str] = await tab.evaluate(texts)
    return shown


async def instance_of(tab: Tab, cluster: Cluster) -> Service:
    """The instance that a window is connected to."""
    url = await tab.evaluate("client.url")
    (instance,) = (service for service in cluster.all("notification") if service.ws_url == url)
    return instance


async def test_two_people_write_read_type_and_reply(people: People) -> None:
    await people.bob.type("#text", "Hel")
    for tab in people[:2]:
        await tab.until(shows("bob typing", "#typing"))
    await people.picture("typing")
    await say(people.bob, "lo")
    for tab in people:
        await tab.until(shows("Hello"))
    await people.alice.until("document.querySelector('#typing').textContent === ''")
    await people.bob.until(shows("read by alice"))
    await people.alice.click("#messages li .open-thread")
    await people.alice.type("#reply-text", "a reply")
    await people.alice.press_enter()
    await people.alice.until(shows("a reply", "#replies"))
    for tab in people[1:]:
        await tab.until(shows("1 reply"))
    await people.picture("reply")


async def test_the_devices_of_one_user_agree(people: People) -> None:
    await people.bob.click("[data-channel=random]")
    await say(people.bob, "in random")
    for tab in people[:2]:
        await tab.until(unread("random", 1))
    await people.picture("unread")
    await people.alice.click("[data-channel=random]")
    for tab in people[:2]:
        await tab.until(unread("random", 0))
    await people.alice.type("#text", "begun here")
    await people.alices_phone.click("[data-channel=random]")
    await people.alices_phone.until("document.querySelector('#text').value === 'begun here'")
    await people.picture("draft")
    await people.alices_phone.type("#text", ", sent there")
    await people.alices_phone.press_enter()
    for tab in people:
        await tab.until(shows("begun here, sent there"))
    await people.alice.until("document.querySelector('#text').value === ''")


async def test_nothing_is_lost_when_an_instance_is_killed(people: People, cluster: Cluster, caller: Caller) -> None:
    expected = []
    for number in range(30):
        expected.append(f"message {number}")
        await caller.say("bob" if number % 2 else "carol", "general", expected[-1])
        if number == 10:
            await (await instance_of(people.alice, cluster)).kill()
            await people.alice.until("document.querySelector('#connection').textContent !== 'connected'")
            await people.picture("killed")
    await say(people.bob, "the last")
    for tab in people:
        await tab.until(shows("the last"))
        await tab.until("document.querySelector('#connection').textContent === 'connected'")
        assert await lines(tab) == [*expected, "the last"]
    await people.picture("after")
