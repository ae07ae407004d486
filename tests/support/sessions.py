"""Sessions of a notification instance without an instance."""

from fanout.ports.authenticator import Identity
from services.notification.session import Session
from tests.support.harness import Client


def session_of(user_id: str, *, expires_at: float = 4e9, instance_id: str = "notif-1") -> Session:
    """A session over a client that says nothing by itself."""
    client = Client(user_id, silent=True)
    return Session(client, Identity(user_id, expires_at), client.device_id, instance_id, budget=1 << 20)
