"""Headless Chromium, driven by the DevTools protocol as far as tests need it."""

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect

from tests.support.observing import until
from tests.support.servers import binary_or_skip

WITHIN_S: Final = 30.0
LOOK_EVERY_S: Final = 0.05
WIDTH, HEIGHT = 1100, 720
_OPTIONS: Final = (
    "--headless",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-background-timer-throttling",
    "--no-first-run",
    "--remote-debugging-port=0",
)


class Tab:
    """One page, with cookies and storage of its own."""

    def __init__(self, browser: "Browser", session_id: str) -> None:
        self._browser = browser
        self._session_id = session_id

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol on this page."""
        return await self._browser.call(method, self._session_id, **parameters)

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, which may be a promise."""
        answer = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait until an expression is true, and return its value."""
        value = None
        try:
            async with asyncio.timeout(WITHIN_S):
                while not (value := await self.evaluate(expression)):  # noqa: ASYNC110 - the browser sets no event here
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            shown = await self.evaluate("document.body.innerText")
            raise AssertionError(f"{expression} did not come to hold; the page shows:\n{shown}") from None
        return value

    async def click(self, selector: str) -> None:
        """Click the element that a selector finds, once it is there."""
        await self.until(f"document.querySelector({selector!r}) !== null")
        await self.evaluate(f"document.querySelector({selector!r}).click()")

    async def type(self, selector: str, text: str) -> None:
        """Type a text into an element, as a keyboard does."""
        await self.until(f"document.querySelector({selector!r}) !== null")
        await self.evaluate(f"document.querySelector({selector!r}).focus()")
        await self.call("Input.insertText", text=text)

    async def press_enter(self) -> None:
        """Press the key Enter."""
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        await self.call("Input.dispatchKeyEvent", type="keyDown", text="\r", **key)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **key)

    async def screenshot(self, path: Path) -> None:
        """Write a picture of the page, as PNG."""
        answer = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(answer["data"]))  # noqa: ASYNC240 - a picture is small


class Browser:
    """One browser."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reading = asyncio.create_task(self._read())

    async def open(self, url: str) -> Tab:
        """A page in a context of its own, loaded."""
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        target = await self.call(
            "Target.createTarget", url="about:blank", browserContextId=context, width=WIDTH, height=HEIGHT
        )
        session = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        tab = Tab(self, session["sessionId"])
        await tab.call("Page.navigate", url=url)
        await tab.until("document.readyState === 'complete'")
        return tab

    async def call(self, method: str, session_id: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._connection.send(json.dumps(message | ({"sessionId": session_id} if session_id else {})))
        answer = await self._answers[number]
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    async def close(self) -> None:
        """Stop reading from the browser."""
        self._reading.cancel()
        await asyncio.wait([self._reading])

    async def _read(self) -> None:
        async for text in self._connection:
            answer = json.loads(text)
            if future := self._answers.pop(answer.get("id", 0), None):
                future.set_result(answer)


@asynccontextmanager
async def running_browser(folder: Path) -> AsyncIterator[Browser]:
    """Start the browser, whose profile goes to a folder, and what it says to a file beside that.

    Where there is none, the test is skipped.
    """
    path = binary_or_skip("chromium")
    with (folder.parent / "browser.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(path, *_OPTIONS, f"--user-data-dir={folder}", stderr=log)
    try:
        async with connect(await _address(folder), max_size=None, compression=None) as connection:
            browser = Browser(connection)
            yield browser
            await browser.close()
    finally:
        process.kill()
        await process.wait()


async def _address(folder: Path) -> str:
    """The address of the browser's DevTools, which it writes once it listens."""
    active = folder / "DevToolsActivePort"
    await until(lambda: active.exists() and active.read_text().count("\n") == 1, "Chromium listening")
    port, path = active.read_text().split()
    return f"ws://127.0.0.1:{port}{path}"
