"""The hosts of the setting: ports, credentials, and what is none."""

import pytest

from services.adapters.cassandra.hosts import Hosts


@pytest.mark.parametrize(
    ("texts", "hosts"),
    [
        (["10.0.0.1"], Hosts((("10.0.0.1", 9042),))),
        (["a:9043", "b"], Hosts((("a", 9043), ("b", 9042)))),
        (["[::1]:9042"], Hosts((("::1", 9042),))),
        (["ann:p%40ss%2C%3A@a", "b:1"], Hosts((("a", 9042), ("b", 1)), "ann", "p@ss,:")),
        (["a", "ann@b"], Hosts((("a", 9042), ("b", 9042)), "ann", "")),
    ],
)
def test_hosts_are_read(texts: list[str], hosts: Hosts) -> None:
    assert Hosts.parse(texts) == hosts


@pytest.mark.parametrize("texts", [[], [""], [":9042"], ["a/b"], ["a?b"], ["a#b"], ["a:b"], ["a:99999"]])
def test_what_is_no_host_is_refused(texts: list[str]) -> None:
    with pytest.raises(ValueError, match=r"hosts|[Pp]ort"):
        Hosts.parse(texts)


def test_a_text_about_hosts_has_no_password() -> None:
    assert str(Hosts.parse(["ann:secret@a", "[::1]:1"])) == "a:9042,[::1]:1"
