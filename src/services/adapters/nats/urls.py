"""Credentials in the URLs of servers."""

import re
from urllib.parse import ParseResult, unquote, urlsplit


def credentials_of(uri: ParseResult) -> dict[str, str | None]:
    """The credentials before the `@` of a URL, percent-decoded: a user and a password, or one word, which is a token.

    Returns:
        `user`, `password` and `token`, as nats-py calls them, None where they are missing; empty for a URL without any.
    """
    if uri.username is None:
        return {}
    first = unquote(uri.username)
    if uri.password is None:
        return {"user": None, "password": None, "token": first}
    return {"user": first, "password": unquote(uri.password), "token": None}


def without_credentials(url: str) -> str:
    """The URLs without credentials."""
    parts = [urlsplit(one) for one in url.split(",")]
    return ",".join(part._replace(netloc=re.sub(r".*@", "", part.netloc)).geturl() for part in parts)
