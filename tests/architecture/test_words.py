"""One word for one thing: the words that the glossary has replaced are in no name and no text."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUFFIXES = {".py", ".pyi", ".rs", ".md", ".toml", ".service"}
PLACES = ["src", "core_ext", "benchmarks", "docs", "examples", "deploy", "packaging", "README.md", "CHANGELOG.md"]


def files_in(place: Path) -> Iterator[Path]:
    found = [place] if place.is_file() else sorted(place.rglob("*"))
    built = "target" if place.name == "core_ext" else "build"
    return (file for file in found if file.suffix in SUFFIXES and built not in file.relative_to(ROOT).parts)


FILES = [file for place in PLACES for file in files_in(ROOT / place)]

REPLACED = {
    "anew": "again",
    "Arrival": "inbound batch",
    "bury|buried|buries": "dead-letter",
    "convoys?": "prefetch pipeline",
    "crews?": "worker group",
    "crowds?": "bitmap subscribers",
    "cut off": "disconnected, or without a connection",
    "doubts?": "error, or the case itself",
    "for ever": "indefinitely",
    "holes?": "gap",
    "insists?": "retry forever",
    "Intake": "delivery buffer",
    "judg(?:e|ed|es|ing)": "check; a socket is over budget",
    "lends?|lent": "acquire",
    "mend(?:s|ed|ing)?": "repair",
    "Mixer": "name hasher",
    "outgoing": "write queue, or batches that wait to be sent",
    "placements?": "presence applier, or location",
    "portable": "JSON limits",
    "retell(?:s|ing)?|retold": "republish",
    "riddles?": "the case itself",
    "rosters?": "presence set",
    "standing pull": "continuous pull",
    "verdicts?": "check, or the result",
    "waves?": "round",
    "whoever": "the subject itself",
    "wish(?:es)?": "desired state",
    "(?:class|struct|enum|trait) (?:Chains|Course|Letter|Numbers|Post|Readers|Slots|Terms)": "see docs/glossary.md",
    "(?:class|struct|enum|trait) (?:Faults|Kind|Payloads?|Stored)(?! [A-Z])": "see docs/glossary.md",
}
"""The words that are not used any more, as patterns, each with what to say. Lower case is found in capitals too."""

EXCEPTIONS = {
    "fanout_placements_unconfirmed_total": "metrics keep their names",
    "fanout_rosters_repaired_total": "the changelog names what has changed",
    "bytes_placements": "a key of `Engine.stats`, which programs read",
    "roster_digest": "the changelog names what has changed",
}
"""Texts in which such a word may stand, with the reason."""
CHANGELOG_ONLY = ["`roster`", "`Arrival`", "`Chains`", "`Intake`", "`Record`"]
"""The former names, which the changelog tells users."""

_NEITHER_SIDE = r"(?<![A-Za-z])(?:{})(?![A-Za-z])"
_PATTERNS = {
    re.compile(_NEITHER_SIDE.format(old), re.IGNORECASE if old.islower() else 0): new for old, new in REPLACED.items()
}
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def old_words(text: str) -> Iterator[tuple[int, str, str]]:
    """The line, the word and the word to use of each place where an old word is used, in a name or in prose."""
    for allowed in EXCEPTIONS:
        text = text.replace(allowed, "")
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, new in _PATTERNS.items():
            for match in pattern.finditer(_CAMEL.sub(" ", line)):
                yield number, match.group(), new


def text_of(file: Path) -> str:
    text = file.read_text()
    if file.name == "CHANGELOG.md":
        for former in CHANGELOG_ONLY:
            text = text.replace(former, "")
    return text


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_replaced_word_is_used(file: Path) -> None:
    found = [f"{file.name}:{line}: {old!r}; say: {new}" for line, old, new in old_words(text_of(file))]
    found += [f"the name {file.name}: {old!r}; say: {new}" for _, old, new in old_words(file.stem.replace("-", " "))]
    assert not found, "\n".join(found)


_SENTENCES = re.compile(r"(?:^|(?<=[.:!] )|(?<=\| ))(?:What|Of|Whose) [^.?|]*[.|]", re.MULTILINE)
_DOCUMENTS = [file for file in FILES if file.suffix == ".md"]


@pytest.mark.parametrize("document", _DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_sentence_of_a_document_begins_with_its_subject(document: Path) -> None:
    text = re.sub(r"(?<!\n)\n(?=[a-z`(*])", " ", document.read_text())
    assert _SENTENCES.findall(text) == []


_DOCSTRING = re.compile(r'(?:"""|^\s*//[/!] )(?:What|Of|Whose) .*', re.MULTILINE)
_SOURCES = [file for file in FILES if file.suffix in {".py", ".pyi", ".rs"}]


@pytest.mark.parametrize("source", _SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_docstring_begins_with_its_subject_or_verb(source: Path) -> None:
    assert _DOCSTRING.findall(source.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "the hole is mended",
        "class Rosters:",
        "def judge_socket() -> None:",
        "struct Mixer;",
        "class Stored:",
        "it waits for ever",
    ],
)
def test_an_old_word_is_found(text: str) -> None:
    assert list(old_words(text))


@pytest.mark.parametrize(
    "text", ["the whole table", "a rowdy crowded place", "class StoredEvent:", "fanout_placements_unconfirmed_total"]
)
def test_other_words_are_not(text: str) -> None:
    assert not list(old_words(text))
