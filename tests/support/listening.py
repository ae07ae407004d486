"""A free loopback port to listen on."""

import socket

from services.runtime.listening import listen_on
from services.runtime.settings import Address


def listener(host: str = "127.0.0.1") -> socket.socket:
    return listen_on(Address(host, 0), "WS_LISTEN", 128)
