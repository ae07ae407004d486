"""The browser's client against a server that follows scripts: the rules are those of `fanout.client`."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Browser, Tab
from tests.support.model_server import ModelServer
from tests.support.scripted_server import COMPLETE, MESSAGE, WELCOME, Dialogue, Script, deregistered, serving

CHAT = Path(__file__).parents[2] / "examples" / "chat"
DEVICE_ID = "dev_web_f08cc301-41fc-45c9-b550-749613375b3e"
MESSAGE_ID = "msg_01JD5T6Q9FZ0Y4W3V2B1N0M8K7"
PAGE = b"""<!doctype html><script type="module">
import * as fanout from "/fanout.js";
Object.assign(window, fanout, { events: [] });
</script>"""


def answer(path: str, address: str) -> tuple[str, bytes]:
    match path:
        case "/fanout.js":
            return "text/javascript", (CHAT / "fanout.js").read_bytes()
        case "/api/v1/realtime.connect":
            return "application/json", json.dumps({"url": f"ws://{address}/ws"}).encode()
    return "text/html", PAGE


class Page:
    """A page with a client that connects as the scripts expect."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab

    async def start(self, **options: Any) -> None:
        """Start the client."""
        await self.tab.until("window.FanoutClient !== undefined")
        settings = {"gateway": "/", "deviceId": DEVICE_ID} | options
        await self.tab.evaluate(
            f"""{{
            const settings = {json.dumps(settings)};
            let made = 0;
            window.client = new FanoutClient({{
                ...settings,
                gateway: location.origin,
                token: async () => `token-${{++made}}`,
                onEvent: (event) => window.events.push(event),
            }});
            Math.random = () => 0;
            window.client.start();
            }}"""
        )

    async def until_ended(self) -> list[dict[str, Any]]:
        """Every event, once the server has ended the client."""
        await self.tab.until("window.events.some(({ type }) => type === 'ended')")
        events: list[dict[str, Any]] = await self.tab.evaluate("window.events")
        return events


async def events_of(browser: Browser, *scripts: Script, **options: Any) -> list[dict[str, Any]]:
    async with serving(*scripts, answer=answer) as url:
        page = Page(await browser.open(url.replace("ws://", "http://").replace("/ws", "/")))
        await page.start(**options)
        return await page.until_ended()


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


async def test_it_resumes_where_it_was_after_a_drop(browser: Browser) -> None:
    async def first(dialogue: Dialogue) -> None:
        assert dialogue.auth["token"] == "token-1"
        assert dialogue.auth["device_id"] == DEVICE_ID
        assert "resume" not in dialogue.auth
        await dialogue.send(WELCOME, {"type": "heartbeat.ok", "seq": 6}, MESSAGE, MESSAGE)
        await dialogue.close(1012, "draining; reconnect with jitter")

    async def second(dialogue: Dialogue) -> None:
        assert dialogue.auth["resume"] == {"seq": 6, "parts": {"3": 7}, "log": "log-1"}
        await dialogue.send(WELCOME, MESSAGE, COMPLETE)
        await deregistered(dialogue)

    events = await events_of(browser, first, second)
    once = ["auth.ok", "heartbeat.ok", "message.new", "disconnected"]
    assert kinds(events) == [*once, "auth.ok", "catchup.complete", "ended"]
    assert events[3] == {"type": "disconnected", "reason": "draining", "code": 1012, "retryInMs": 0}
    assert events[-1] == {"type": "ended", "reason": "deregistered", "code": 4409}


async def test_a_point_that_fails_three_times_is_dropped_and_said_to_be(browser: Browser) -> None:
    async def fails(dialogue: Dialogue) -> None:
        assert dialogue.auth["resume"]["seq"] == 5
        await dialogue.send(WELCOME)
        await dialogue.close(1011, "the catch-up failed")

    async def plainly(dialogue: Dialogue) -> None:
        assert "resume" not in dialogue.auth
        await deregistered(dialogue)

    events = await events_of(browser, fails, fails, fails, plainly, resume={"seq": 5})
    assert kinds(events) == ["auth.ok", "disconnected"] * 3 + ["resume.dropped", "ended"]


async def test_a_refused_token_is_made_anew_once(browser: Browser) -> None:
    def refuses(token: str) -> Script:
        async def script(dialogue: Dialogue) -> None:
            assert dialogue.auth["token"] == token
            await dialogue.close(4401, "token_expired: the token has expired")

        return script

    assert kinds(await events_of(browser, refuses("token-1"), refuses("token-2"))) == ["disconnected", "ended"]


async def test_what_the_user_does_is_told(browser: Browser) -> None:
    async def script(dialogue: Dialogue) -> None:
        await dialogue.send(WELCOME)
        frames = [await dialogue.receive() for _ in range(8)]
        assert [frame["type"] for frame in frames] == [
            "mark_read",
            "message.read",
            "typing.start",
            "typing.stop",
            "channel.open",
            "presence.watch",
            "heartbeat",
            "heartbeat",
        ]
        assert [(frame["state"], frame.get("focused_channel")) for frame in frames[6:]] == [
            ("active", "general"),
            ("background", "general"),
        ]
        await deregistered(dialogue)

    async with serving(script, answer=answer) as url:
        page = Page(await browser.open(url.replace("ws://", "http://").replace("/ws", "/")))
        await page.start()
        await page.tab.until("client.isOpen")
        await page.tab.evaluate(
            f"""
            client.markRead("general", "{MESSAGE_ID}");
            client.messageRead("general", "{MESSAGE_ID}");
            client.typing("general");
            client.typing("general");
            client.stopTyping("general");
            client.openChannel("general");
            client.watchPresence(["bob"]);
            client.interacted();
            client.interacted();
            client.setState("background");
            """
        )
        await page.until_ended()


async def test_reads_are_sent_again_until_a_heartbeat_confirms_them(browser: Browser) -> None:
    async def loses(dialogue: Dialogue) -> None:
        await dialogue.send(WELCOME)
        assert (await dialogue.receive())["type"] == "mark_read"
        dialogue.drop()

    async def confirms(dialogue: Dialogue) -> None:
        await dialogue.send(WELCOME | {"heartbeat_s": 0.05})
        assert [(await dialogue.receive())["type"] for _ in range(2)] == ["mark_read", "heartbeat"]
        await dialogue.send({"type": "heartbeat.ok", "seq": 5})
        assert (await dialogue.receive())["type"] == "heartbeat"
        dialogue.drop()

    async def has_it(dialogue: Dialogue) -> None:
        await dialogue.send(WELCOME | {"heartbeat_s": 0.05})
        assert (await dialogue.receive())["type"] == "heartbeat"
        await deregistered(dialogue)

    async with serving(loses, confirms, has_it, answer=answer) as url:
        page = Page(await browser.open(url.replace("ws://", "http://").replace("/ws", "/")))
        await page.start()
        await page.tab.evaluate(f'client.markRead("general", "{MESSAGE_ID}")')
        await page.until_ended()


async def test_a_draft_is_edited_from_its_base_and_a_stale_one_is_replaced(browser: Browser) -> None:
    draft: dict[str, Any] = {
        "text": "of another device",
        "reply_to": None,
        "attachments": [],
        "updated_at": "t3",
        "device_id": None,
    }

    async def script(dialogue: Dialogue) -> None:
        await dialogue.send(WELCOME)
        first = await dialogue.receive()
        assert (first["text"], first["base_updated_at"]) == ("a", None)
        await dialogue.send({"type": "draft.saved", "channel_id": "general", "updated_at": "t1"})
        second = await dialogue.receive()
        assert (second["text"], second["base_updated_at"]) == ("abc", "t1")
        await dialogue.send({"type": "error", "code": "draft_conflict", "message": "", "offending_type": "draft.save"})
        await dialogue.send({"type": "sync.draft", "channel_id": "general", "draft": draft, "updated_at": "t3"})
        third = await dialogue.receive()
        assert (third["draft"], third["base_updated_at"]) == (None, "t3")
        await deregistered(dialogue)

    async with serving(script, answer=answer) as url:
        page = Page(await browser.open(url.replace("ws://", "http://").replace("/ws", "/")))
        await page.start()
        saves = (f'client.saveDraft("general", {{ text: "{text}" }})' for text in ("a", "ab", "abc"))
        await page.tab.until("client.isOpen")
        await page.tab.evaluate("; ".join(saves))
        await page.tab.until("window.events.some(({ type }) => type === 'sync.draft')")
        await page.tab.evaluate('client.saveDraft("general", null)')
        assert kinds(await page.until_ended()) == ["auth.ok", "draft.saved", "error", "sync.draft", "ended"]


@pytest.mark.parametrize("seed", range(3))
async def test_cut_at_any_frame_every_event_comes_once_and_in_order(browser: Browser, seed: int) -> None:
    """A server that posts, delivers and cuts at random, as the model of `fanout.client`'s own test does."""
    chance, model = random.Random(seed), ModelServer(3)  # noqa: S311 - a seed repeats it

    async def cut(dialogue: Dialogue) -> None:
        model.connect(dialogue.auth, chance.choice((1, 2)))
        for _ in range(chance.randrange(12)):
            model.post(chance.randrange(4))
            model.deliver(chance.randrange(3), again=chance.random() < 0.2)
            if chance.random() < 0.2:
                model.answer_heartbeat()
        await dialogue.send(*(model.frames.popleft() for _ in range(chance.randrange(len(model.frames) + 1))))
        model.cut()
        await dialogue.close(1012)

    async def last(dialogue: Dialogue) -> None:
        model.connect(dialogue.auth, 1)
        await dialogue.send(*model.frames)
        await deregistered(dialogue)

    events = await events_of(browser, *[cut] * 30, last)
    begin = next(event["seq"] for event in events if event["type"] == "auth.ok")
    got: dict[str, list[int]] = {}
    for event in events:
        if event["type"] == "message.new":
            got.setdefault(event["channel_id"], []).append(event["seq"])
        for missed in event.get("channels", ()):
            got.setdefault(missed["channel_id"], []).extend(message["seq"] for message in missed["messages"])
    assert all(seqs == sorted(set(seqs)) for seqs in got.values())
    assert sorted(seq for seqs in got.values() for seq in seqs) == list(range(begin + 1, len(model.log) + 1))
