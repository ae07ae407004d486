"""Serves the chat page with a Fanout of its own, some users and some channels: `make demo`.

    python examples/chat/demo.py [--port 8000] [--gateway URL]

With `--gateway` it uses a deployment that runs: it must have the deployment's FANOUT_JWT_SECRET, and the deployment
must allow the page as an origin (FANOUT_CORS_ORIGINS). Who can reach the page's port gets a token for any user, so it
listens on 127.0.0.1 alone.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from fanout.ids import is_id
from services.cli.client import signed_token

HERE = Path(__file__).parent
PEOPLE = ("alice", "bob", "carol")
CHANNELS = {"general": "general", "random": "random"}
READY_WITHIN_S = 60.0
TOKEN_TTL_S = 3600


class Page(SimpleHTTPRequestHandler):
    """The files of the page, its settings, and tokens."""

    server: "PageServer"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, directory=str(HERE), **options)

    def do_GET(self) -> None:
        """Answer a request."""
        url = urlsplit(self.path)
        if self.headers.get("Host", "").partition(":")[0] not in {"127.0.0.1", "localhost"}:
            self.send_error(403, "this page is for this machine alone")  # a name that leads here is another site's
        elif url.path == "/config":
            self._answer({"gateway": self.server.gateway, "people": PEOPLE})
        elif url.path == "/token":
            user = parse_qs(url.query).get("user", [""])[0]
            if is_id(user):
                self._answer({"token": signed_token(user, TOKEN_TTL_S)})
            else:
                self.send_error(400, "no user of that id can be")
        else:
            super().do_GET()

    def _answer(self, document: dict[str, object]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class PageServer(ThreadingHTTPServer):
    """Serves `Page` on 127.0.0.1.

    Args:
        port: to listen on; 0 takes a free one.
    """

    def __init__(self, port: int) -> None:
        self.gateway = ""
        super().__init__(("127.0.0.1", port), Page)

    @property
    def origin(self) -> str:
        """The page's address, as browsers send it."""
        return f"http://127.0.0.1:{self.server_port}"


def call(gateway: str, user: str, path: str, body: dict[str, object]) -> httpx.Response:
    """A REST call of a user."""
    headers = {"Authorization": f"Bearer {signed_token(user, TOKEN_TTL_S)}"}
    return httpx.post(f"{gateway}/api/v1/{path}", json=body, headers=headers, timeout=READY_WITHIN_S)


def seed(gateway: str) -> None:
    """Create the channels, where they do not exist."""
    first, *others = PEOPLE
    for channel, name in CHANNELS.items():
        answer = call(gateway, first, "channels.create", {"channel_id": channel, "name": name, "members": others})
        if answer.status_code not in {201, 409}:
            raise SystemExit(f"the channel {channel} cannot be created: {answer.text}")
    for user in others:
        call(gateway, first, "channels.create", {"kind": "dm", "members": [user]}).raise_for_status()


@contextmanager
def running_fanout(origin: str) -> Iterator[str]:
    """A `fanout up` that allows the page's origin; yields the gateway's address."""
    environment = {"FANOUT_DATA_DIR": "build/demo", "FANOUT_LOG_LEVEL": "warning", "FANOUT_CORS_ORIGINS": origin}
    os.environ.update({name: value for name, value in environment.items() if name not in os.environ})
    command = [str(Path(sys.executable).parent / "fanout"), "up"]
    process = subprocess.Popen(command)  # noqa: S603 - the command of this environment
    gateway = f"http://{os.environ.get('FANOUT_LISTEN', '127.0.0.1:8080')}"
    try:
        wait_until_ready(gateway, process)
        yield gateway
    finally:
        process.terminate()
        process.wait()


def wait_until_ready(gateway: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until every service serves."""
    until = time.monotonic() + READY_WITHIN_S
    while True:
        if process.poll() is not None:
            raise SystemExit("fanout up has ended: its lines above say why")
        try:
            if httpx.get(f"{gateway}/readyz").is_success:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > until:
            raise SystemExit(f"{gateway} is not ready after {READY_WITHIN_S:.0f} s")
        time.sleep(0.1)


def serve(server: PageServer, gateway: str) -> None:
    """Serve the page until Ctrl-C."""
    seed(gateway)
    server.gateway = gateway
    print("\n".join(f"{server.origin}/?user={user}" for user in PEOPLE), flush=True)
    server.serve_forever()


def main() -> None:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000, help="of the page; 0 takes a free one")
    parser.add_argument("--gateway", help="the address of a gateway that runs; without it, `fanout up` is started")
    arguments = parser.parse_args()
    with suppress(KeyboardInterrupt), PageServer(arguments.port) as server:
        if arguments.gateway:
            serve(server, arguments.gateway)
        else:
            with running_fanout(server.origin) as gateway:
                serve(server, gateway)


if __name__ == "__main__":
    main()
