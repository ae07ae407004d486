"""Sockets to listen on, for whatever is served on them."""

import socket

from services.runtime.settings import Address, cannot_listen


def listen_on(address: Address, variable: str, backlog: int) -> socket.socket:
    """A TCP socket that listens. `[::]` takes IPv4 as well, whatever the system's default is.

    Args:
        address: where; port 0 takes any free one.
        variable: the setting that names it, without the prefix.
        backlog: how many connections may wait to be accepted.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """
    try:
        listener = _bound(address)
    except OSError as error:
        raise cannot_listen(variable, address, error) from error
    listener.listen(backlog)
    return listener


def try_to_bind(address: Address) -> None:
    """Return where the address can be listened on now. Nobody can connect to it meanwhile.

    Raises:
        OSError: it cannot.
    """
    _bound(address).close()


def _bound(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # The protocol is named, for asyncio turns Nagle's delay off only on sockets that say they are TCP: without
    # it, answers on a connection that was used before come 40 ms late.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind((address.host, address.port))
    except OSError:
        bound.close()
        raise
    return bound
