import json
import logging
import threading
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.logging import REDACTED, configure_logging, redact
from services.runtime.tokens import sign
from tests.support.logs import logging_put_back

TOKEN = sign("a-secret-that-is-long-enough-for-hs256", "alice", 60)


class Written:
    """What was written to standard error so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    def text(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Written]:
    with logging_put_back():
        yield Written(capsys)


def test_json_lines_from_structlog_and_from_the_standard_library(written: Written) -> None:
    configure_logging("json", "info")
    structlog.stdlib.get_logger("ours").info("began", user="alice")
    logging.getLogger("theirs").warning("odd: %s", 7)
    structlog.stdlib.get_logger("ours").debug("not written")
    first, second = map(json.loads, written.text().splitlines())
    assert (first["event"], first["logger"], first["level"], first["user"]) == ("began", "ours", "info", "alice")
    assert (second["event"], second["logger"], second["level"]) == ("odd: 7", "theirs", "warning")


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_token_is_written_wherever_it_stands(written: Written, form: str) -> None:
    configure_logging("json" if form == "json" else "console", "debug")
    log = structlog.stdlib.get_logger("ours")
    log.info("a frame", token=TOKEN, headers={"Authorization": f"Bearer {TOKEN}"})
    text = f"text with {TOKEN} in it"
    log.info(text, nested=[{"url": f"ws://host/?access={TOKEN}"}])
    logging.getLogger("theirs").error("GET /?t=%s", TOKEN)
    try:
        int(TOKEN)
    except ValueError:
        log.exception("failed")
    assert "failed" in written.text()
    assert TOKEN not in written.text()
    assert TOKEN.rpartition(".")[2] not in written.text()


def test_the_password_of_a_url_is_not_written(written: Written) -> None:
    configure_logging("json")
    structlog.stdlib.get_logger("ours").error("cannot reach redis://:hunter2@localhost:6379/0")
    assert "hunter2" not in written.text()
    assert "localhost:6379" in written.text()


def test_every_line_names_the_service_that_the_process_runs(written: Written) -> None:
    configure_logging("json", service="gateway")
    structlog.stdlib.get_logger("ours").info("began")
    worker = threading.Thread(target=logging.getLogger("theirs").warning, args=("odd",))
    worker.start()
    worker.join()
    assert [json.loads(line)["service"] for line in written.text().splitlines()] == ["gateway", "gateway"]


def test_a_line_for_each_connection_is_left_out(written: Written) -> None:
    configure_logging("json", "info")
    logging.getLogger("websockets.server").info("connection open")
    logging.getLogger("websockets.server").error("opening handshake failed")
    assert [json.loads(line)["event"] for line in written.text().splitlines()] == ["opening handshake failed"]


def test_auto_is_json_where_there_is_no_terminal(written: Written) -> None:
    configure_logging()
    structlog.stdlib.get_logger("ours").info("began")
    assert json.loads(written.text())["event"] == "began"


@given(st.dictionaries(st.text(max_size=8), st.recursive(st.text(max_size=8), st.lists)))
def test_what_is_no_secret_stays_as_it_is(event: dict[str, object]) -> None:
    kept = {key: value for key, value in event.items() if redact(None, "", {key: value})[key] != REDACTED}
    assert redact(None, "", dict(kept)) == kept
