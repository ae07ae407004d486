"""Subjects with the wildcards of NATS."""


def matches(pattern: str, subject: str) -> bool:
    """Whether `pattern` matches `subject`: `*` matches any one token, `>` one or more tokens at the end."""
    asked, given = pattern.split("."), subject.split(".")
    if asked[-1] == ">":
        asked = asked[:-1]
        if len(given) <= len(asked):
            return False
        given = given[: len(asked)]
    return len(asked) == len(given) and all(a in {"*", g} for a, g in zip(asked, given, strict=True))
