"""An address that is none is refused before anything is tried."""

import pytest

from fanout.client import InvalidAddress
from fanout.client.addresses import GATEWAY, INSTANCE, check_address, is_instance


@pytest.mark.parametrize("url", ["http://host", "https://host:8080", "http://[::1]:80", "https://host/below"])
def test_the_address_of_a_gateway(url: str) -> None:
    assert check_address(url + "/", GATEWAY) == url
    assert not is_instance(url)


def test_the_address_of_an_instance() -> None:
    assert check_address("wss://host/ws", INSTANCE) == "wss://host/ws"
    assert is_instance("wss://host/ws")


@pytest.mark.parametrize(
    "url", ["", "nonsense", "http://[::", "http://host:99999", "http://host:x", "ftp://host", "http://"]
)
def test_others_are_refused(url: str) -> None:
    with pytest.raises(InvalidAddress, match="is not an address"):
        check_address(url, GATEWAY)
