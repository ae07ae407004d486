"""What a storm refuses before it begins, and how its end is told."""

from dataclasses import fields
from pathlib import Path

import pytest

from tests.chaos.options import MEANINGS, read
from tests.chaos.scenario import Scenario
from tests.chaos.storm import Outcome, main
from tests.support.cluster import Service


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--clients", "0"], "--clients 0 is too few: at least 1"),
        (["--channels", "0"], "--channels 0 is too few: at least 1"),
        (["--instances", "0"], "--instances 0 is too few: at least 1"),
        (["--workers", "0"], "--workers 0 is too few: at least 1"),
        (["--messages", "0"], "--messages 0 is too few: at least 1"),
        (["--channels-each", "0"], "--channels-each 0 is too few: at least 1"),
        (["--channels-each", "5", "--channels", "4"], "--channels-each 5 are more than there are: --channels 4"),
        (["--drop", "1"], "--drop 1 cannot be: it is a share, from 0 to below 1"),
        (["--drop", "-0.1"], "--drop -0.1 cannot be: it is a share, from 0 to below 1"),
        (["--drop", "nan"], "--drop nan cannot be: it is a share, from 0 to below 1"),
        (["--rate", "0"], "--rate 0 cannot be: it must be above 0, and finite"),
        (["--change-every", "inf"], "--change-every inf cannot be: it must be above 0, and finite"),
        (["--nats-restarts", "-1"], "--nats-restarts -1 cannot be: it must not be below 0"),
        (["--folder", "/dev/null/x"], "--folder /dev/null/x cannot be made: Not a directory"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    assert capsys.readouterr().err == f"error: {reason}\n"


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "accepted").touch()
    with pytest.raises(SystemExit):
        main(["--folder", str(tmp_path)])
    assert "is not empty" in capsys.readouterr().err


def test_options_are_a_scenario_and_a_folder(tmp_path: Path) -> None:
    assert read([], None) == (Scenario(), None)
    assert read(["--drop", "0.5", "--folder", str(tmp_path / "new")], None) == (Scenario(drop=0.5), tmp_path / "new")


def test_each_option_is_explained() -> None:
    assert list(MEANINGS) == [field.name for field in fields(Scenario)]


def test_losses_are_told_only_where_there_may_be_any() -> None:
    assert "lost on the way" not in Outcome().summary()
    assert "1 message to instances lost on the way" in Outcome(lossy=True, dropped=1).summary()
    assert "3 times a message was published again" in Outcome(repeated=3).summary()


def test_a_service_that_is_not_started_yet_has_not_ended(tmp_path: Path) -> None:
    assert not Service("fanout-4", [], {}, tmp_path).ended
