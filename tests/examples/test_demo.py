"""`make demo`: everything that the page needs, from one command."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.servers import free_port

DEMO = Path(__file__).parents[2] / "examples" / "chat" / "demo.py"

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The page that the demonstration serves."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FANOUT_")}
    own = {name: f"127.0.0.1:{free_port()}" for name in ("FANOUT_LISTEN", "FANOUT_WS_LISTEN")}
    folder = tmp_path_factory.mktemp("demo")
    with subprocess.Popen(
        [sys.executable, DEMO, "--port", "0"], env=inherited | own, cwd=folder, stdout=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        url = demo.stdout.readline().partition("?")[0]
        with httpx.Client(base_url=url) as client:
            yield client
        demo.send_signal(2)
        assert demo.wait(timeout=60) == 0


def test_it_serves_the_page_and_its_settings(page: httpx.Client) -> None:
    assert "<title>Fanout chat</title>" in page.get("/").text
    assert page.get("/fanout.js").headers["Content-Type"].endswith("javascript")
    assert page.get("/config").json()["people"] == ["alice", "bob", "carol"]


def test_a_token_is_one_of_the_deployment_that_it_started(page: httpx.Client) -> None:
    gateway, token = page.get("/config").json()["gateway"], page.get("/token?user=carol").json()["token"]
    headers = {"Authorization": f"Bearer {token}", "Origin": str(page.base_url).rstrip("/")}
    answer = httpx.get(f"{gateway}/api/v1/channels.list", headers=headers)
    names = {channel["name"] for channel in answer.json()["channels"]}
    assert names >= {"general", "random"}
    assert answer.headers["Access-Control-Allow-Origin"] == headers["Origin"]


def test_a_user_that_is_none_gets_no_token(page: httpx.Client) -> None:
    assert page.get("/token?user=a%20b").status_code == 400


def test_pages_of_other_sites_get_nothing(page: httpx.Client) -> None:
    assert page.get("/token?user=alice", headers={"Host": "elsewhere.example"}).status_code == 403
