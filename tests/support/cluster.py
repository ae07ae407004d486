"""The system as its operators run it: processes started by the `fanout` command, found by what they log."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import httpx
import jwt

from tests.support.observing import NO_AUTHORITIES

COMMAND = Path(sys.executable).parent / "fanout"
SECRET = "a-secret-for-tests-that-opens-nothing-else-and-is-long-enough-for-sha512"
READY_WITHIN_S = 60.0
STOP_WITHIN_S = 30.0
LOOK_EVERY_S = 0.02


def token(user_id: str, *, ttl: float = 3600, secret: str = SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode({"sub": user_id, "exp": time.time() + ttl}, secret, algorithm=algorithm)


class Service:
    """One process of the system."""

    def __init__(self, name: str, arguments: list[str], env: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self._arguments = arguments
        self.env = dict(env)
        self._log_file = folder / f"{name}.log"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def instance_id(self) -> str:
        return self.env["FANOUT_INSTANCE_ID"]

    async def start(self) -> Self:
        with self._log_file.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                COMMAND, *self._arguments, env=self.env, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
            )
        await self.wait_for_log("ready")
        return self

    async def wait_for_log(self, event: str, within_s: float = READY_WITHIN_S) -> dict[str, Any]:
        """The first line of the log with this event."""
        async with asyncio.timeout(within_s):
            while True:
                for line in self.log_lines():
                    if line.get("event") == event:
                        return line
                assert self.running, f"{self.name} ended:\n{self.text()}"
                await asyncio.sleep(LOOK_EVERY_S)

    def log_lines(self) -> Iterator[dict[str, Any]]:
        for line in self.text().splitlines():
            if line.startswith("{") and line.endswith("}"):
                yield json.loads(line)

    def text(self) -> str:
        return self._log_file.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def ended(self) -> bool:
        """Whether there was a process, and it is gone; one that is only just being started has not ended."""
        return self._process is not None and self._process.returncode is not None

    @property
    def url(self) -> str:
        return self._logged_url("serves REST") or self._logged_url("serves health and metrics")

    @property
    def ws_url(self) -> str:
        return self._logged_url("serves WebSockets")

    async def is_ready(self) -> bool:
        """Whether it says so; one that does not answer is not."""
        try:
            async with httpx.AsyncClient(verify=NO_AUTHORITIES) as client:
                return (await client.get(f"{self.url}/readyz", timeout=5)).is_success
        except httpx.HTTPError:
            return False

    def _logged_url(self, event: str) -> str:
        return next((str(line["url"]) for line in self.log_lines() if line.get("event") == event), "")

    def pause(self) -> None:
        """Let it stand still, as a machine does that is suspended."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    async def kill(self) -> None:
        await self._signal(signal.SIGKILL)

    async def stop(self) -> int:
        """Drain, and the exit code."""
        return await self._signal(signal.SIGTERM)

    async def _signal(self, number: signal.Signals) -> int:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        async with asyncio.timeout(STOP_WITHIN_S):
            return await self._process.wait()


class Cluster:
    """Services that share NATS, Redis and a data folder, or one process with everything embedded."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self._folder = folder
        self._settings = settings
        self.data = folder / "data"
        self.services: dict[str, Service] = {}

    async def start(self, name: str, *arguments: str, **settings: str) -> Service:
        """Start a service under a name; `arguments` is the command line after `fanout`."""
        service = Service(name, list(arguments), self._env(name, settings), self._folder)
        self.services[name] = service
        return await service.start()

    async def command(self, *arguments: str, **settings: str) -> asyncio.subprocess.Process:
        """Start a command that ends by itself, with pipes; `arguments` is the command line after `fanout`."""
        pipe = asyncio.subprocess.PIPE
        env = self._env("command", settings)
        return await asyncio.create_subprocess_exec(COMMAND, *arguments, env=env, stdin=pipe, stdout=pipe, stderr=pipe)

    async def start_all(self, counts: Mapping[str, int]) -> None:
        """Start so many of each service of `fanout serve`, side by side."""
        names = [(f"{kind}-{number}", kind) for kind, count in counts.items() for number in range(1, count + 1)]
        await asyncio.gather(*(self.start(name, "serve", kind) for name, kind in names))

    def all(self, kind: str) -> list[Service]:
        return [service for name, service in self.services.items() if name.startswith(kind)]

    async def stop(self) -> None:
        for kind in ("gateway", "notification", "fanout", "message-writer", "receipt-writer", "up"):
            await asyncio.gather(*(service.stop() for service in self.all(kind) if service.running))

    async def kill(self) -> None:
        await asyncio.gather(*(service.kill() for service in self.services.values() if service.running))

    def _env(self, name: str, settings: Mapping[str, str]) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("FANOUT_")}
        own = {
            "JWT_SECRET": SECRET,
            "INSTANCE_ID": name,
            "LISTEN": "127.0.0.1:0",
            "WS_LISTEN": "127.0.0.1:0",
            "DATA_DIR": str(self.data),
            "LOG_FORMAT": "json",
            "RATE_LIMIT": "100000",
            "RATE_BURST": "100000",
            "HEARTBEAT_TIMEOUT_S": "600",  # the clients of these tests send none
        }
        values = {**own, **self._settings, **settings}
        return inherited | {f"FANOUT_{key}": value for key, value in values.items()}
