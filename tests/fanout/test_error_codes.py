"""Codes are stable, defined once, and those that the documents name."""

import inspect
import re
from http import HTTPStatus
from pathlib import Path

import pytest

from fanout import error_codes, errors
from fanout.api import channels, history, messages, realtime
from fanout.error_codes import FRAME_ERRORS, TOKEN_ERRORS, CloseCode, ErrorCode
from fanout.errors import CallRejected, FanoutError
from fanout.ports.authenticator import TokenRefused

DOCS = Path(__file__).parents[2] / "docs"
MODULES = (error_codes, messages, channels, history, realtime)
ROWS = [row for module in MODULES for row in vars(module).values() if isinstance(row, ErrorCode)]
TABLE = {row.code: row for row in [*ROWS, *TOKEN_ERRORS.values()]}


def test_a_code_stands_once_and_has_a_text() -> None:
    for row in [*ROWS, *TOKEN_ERRORS.values()]:
        assert TABLE[row.code] is row, f"{row.code} is defined twice"
        assert re.fullmatch(r"[a-z_]+", row.code)
        assert row.text
        assert row.text == row.text.rstrip(".")
        assert row.status is None or HTTPStatus(row.status) >= HTTPStatus.BAD_REQUEST
        assert str(row) == row.code


def test_a_refused_token_has_a_row_of_the_table() -> None:
    assert TokenRefused("token_key").error_code is TOKEN_ERRORS["token_key"]


def test_the_codes_of_error_frames_are_those_of_the_document() -> None:
    line = next(line for line in (DOCS / "protocol.md").read_text().splitlines() if line.startswith("Codes of `error`"))
    assert re.findall(r"`(\w+)`", line)[1:] == [row.code for row in FRAME_ERRORS]


def test_close_codes_are_those_of_the_document() -> None:
    documented = re.findall(r"^\| (\d{4}) \|", (DOCS / "protocol.md").read_text(), re.MULTILINE)
    assert sorted(map(int, documented)) == sorted(CloseCode)
    assert all(code.text for code in CloseCode)


def test_the_contract_names_codes_with_their_status() -> None:
    named = re.findall(r"(?<=\b)([45]\d\d) `(\w+)`", (DOCS / "contract.md").read_text())
    assert named
    for status, code in named:
        assert TABLE[code].status == int(status), code


@pytest.mark.parametrize("kind", [kind for kind in vars(errors).values() if inspect.isclass(kind)])
def test_an_exception_has_a_row_of_the_table_or_none(kind: type) -> None:
    if issubclass(kind, FanoutError) and kind is not CallRejected:
        assert kind.error_code is None or TABLE[kind.error_code.code] is kind.error_code
        assert kind.__name__ in (errors.__doc__ or "")


def test_a_rejected_call_says_why() -> None:
    assert str(CallRejected(error_codes.NOT_A_MEMBER)) == error_codes.NOT_A_MEMBER.text
    assert str(CallRejected(error_codes.NOT_A_MEMBER, "more")) == "more"
