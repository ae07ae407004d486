"""Checks the addresses that a client is given."""

from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from fanout.client.errors import InvalidAddress

GATEWAY: Final = ("http", "https")
INSTANCE: Final = ("ws", "wss")


def check_address(url: str, schemes: Collection[str]) -> str:
    """Return an address without the slashes at its end.

    Args:
        url: the address.
        schemes: those that it may have.

    Raises:
        InvalidAddress: it is none, or has another scheme.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # reading the port checks it
    except ValueError as error:
        raise InvalidAddress(f"{url} is not an address: {error}") from error
    if parts.scheme not in schemes or not host:
        raise InvalidAddress(f"{url} is not an address of the form {' or '.join(f'{each}://host' for each in schemes)}")
    return url.rstrip("/")


def is_instance(url: str) -> bool:
    """Whether an address is that of a WebSocket."""
    return urlsplit(url).scheme in INSTANCE
