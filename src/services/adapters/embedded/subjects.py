"""Subjects with wildcards, as NATS has them."""


def matches(pattern: str, subject: str) -> bool:
    """Whether `subject` falls under `pattern`: `*` is any one token, `>` the rest, which is not empty."""
    asked, given = pattern.split("."), subject.split(".")
    if asked[-1] == ">":
        asked = asked[:-1]
        if len(given) <= len(asked):
            return False
        given = given[: len(asked)]
    return len(asked) == len(given) and all(a in {"*", g} for a, g in zip(asked, given, strict=True))
