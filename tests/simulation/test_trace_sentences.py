from pathlib import Path
from typing import Any

import pytest

from tests.simulation.trace_sentences import LOG_SENTENCES, TRACE_SENTENCES

SOURCES = "".join(file.read_text() for file in sorted((Path(__file__).parents[2] / "src/services").rglob("*.py")))


@pytest.mark.parametrize("text", LOG_SENTENCES)
def test_each_log_line_that_is_told_is_one_of_the_product(text: str) -> None:
    assert f'"{text}"' in SOURCES


@pytest.mark.parametrize(
    ("what", "about", "said"),
    [
        ("located", {"user": "ann", "instance": "i1", "channels": []}, "w1 now has ann, a member of no channel, on i1"),
        ("removed", {"user": "ann", "instance": "i1"}, "w1 no longer has ann on i1"),
        ("channels", {"user": "ann", "channels": ["hall", "room"]}, "w1 now has ann in hall, room"),
        ("suspends", {"instance": "i1"}, "w1 suspends i1: it routes no messages there"),
        ("follows", {"stream": "META", "after": 4}, "w1 begins to follow the changes of members after seq 4"),
        (
            "presence set",
            {"instance": "i1", "users": ["ann"], "unchanged": False},
            "w1 hears from i1 who is connected there: ann",
        ),
        (
            "presence set",
            {"instance": "i1", "users": [], "unchanged": False},
            "w1 hears from i1 who is connected there: nobody",
        ),
        (
            "presence set",
            {"instance": "i1", "users": [], "unchanged": True},
            "w1 hears from i1 that its table has the users who are connected there",
        ),
        ("routes", {"message": "m1", "seq": 3, "part": 0, "to": []}, "w1 routes m1 (seq 3, partition 0) to nobody"),
        (
            "routes",
            {"message": "m1", "seq": 3, "part": 0, "to": ["i1", "i2"]},
            "w1 routes m1 (seq 3, partition 0) to i1, i2",
        ),
        (
            "marks",
            {"to": "i1", "seq": 3, "part": 0, "messages": ["m1"]},
            "w1 marks partition 0 for i1 as routed up to seq 3, and has not sent it m1",
        ),
        (
            "skips",
            {"change": "ann left room", "seq": 2},
            "w1 skips the change that ann left room (seq 2): a newer one is known",
        ),
        ("announces", {"user": "ann", "online": False, "instance": "i1"}, "w1 announces that ann has left i1"),
        (
            "member",
            {"user": "ann", "is_member": False, "channel": "room"},
            "the membership store has it that ann is not a member of room",
        ),
        ("notices", {"stream": "MESSAGES"}, "w1 notices that the log has lost messages"),
        (
            "logs",
            {"event": "lost partition", "fields": {"partition": "0", "epoch": "2"}},
            "w1 finds that another worker has claimed partition 0",
        ),
        ("logs", {"event": "task failed", "fields": {"task": "members"}}, "w1 logs: task failed (task: members)"),
        ("logs", {"event": "odd", "fields": {}}, "w1 logs: odd"),
    ],
)
def test_what_a_process_did_is_a_sentence(what: str, about: dict[str, Any], said: str) -> None:
    assert TRACE_SENTENCES[what]({"process": "w1", **about}) == said
