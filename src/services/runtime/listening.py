"""TCP sockets to listen on."""

import socket

from services.runtime.settings import Address, cannot_listen


def listen_on(address: Address, variable: str, backlog: int) -> socket.socket:
    """Open a TCP socket that listens. `[::]` accepts IPv4 as well, whatever the system's default is.

    Args:
        address: the host and the port; port 0 takes any free port.
        variable: the setting that names it, without the prefix.
        backlog: the number of connections that may wait to be accepted.

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
    """Check that the address can be listened on now. No client can connect to it while it is checked.

    Raises:
        OSError: it cannot be listened on.
    """
    _bound(address).close()


def _bound(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # The protocol must be given: asyncio turns Nagle's delay off only on sockets that say they are TCP. Without it,
    # answers on a connection that was used before come 40 ms late.
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
