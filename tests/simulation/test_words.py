import re
from pathlib import Path

import pytest

from tests.simulation.words import WORDS, words_of


def test_the_words_of_a_text_are_explained_and_no_others() -> None:
    assert [line.partition(":")[0] for line in words_of("worker1 is killed\n  missed: m1 (seq 4)")] == [
        "worker",
        "seq",
        "missed",
    ]
    assert list(words_of("ann posts m1 to room")) == []


@pytest.mark.parametrize("pattern", WORDS)
def test_each_word_has_a_line_that_begins_with_it(pattern: str) -> None:
    line = WORDS[pattern]
    assert re.fullmatch(r"[a-z][^:\n]*: [^\n]*[^.\n]", line)


def test_each_promise_is_explained() -> None:
    sources = "".join(file.read_text() for file in sorted(Path(__file__).parent.glob("[!t]*.py")))
    promises = set(re.findall(r'Broken\(\s*"([^"]+)"', sources))
    assert len(promises) > 10
    for promise in sorted(promises):
        text = f"  {promise}: something"
        assert any(re.search(pattern, text, re.MULTILINE) for pattern in WORDS), promise
