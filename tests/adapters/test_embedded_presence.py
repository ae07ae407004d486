"""What embedded presence promises beyond the contract of the port."""

from fanout.keys import CONNECTION_TTL_S, ENDED_KEPT_S
from fanout.ports.presence import DeviceConnection
from services.adapters.embedded.presence import EmbeddedPresence


def _connection(user_id: str) -> DeviceConnection:
    return DeviceConnection(user_id, "dev_web_01HZ0000000000000000000000", "notif-1", "2026-02-01T10:30:00.000Z")


async def test_users_whose_connections_ended_unseen_are_forgotten() -> None:
    now = 0.0
    presence = EmbeddedPresence(clock=lambda: now)
    for number in range(100):
        await presence.connect(_connection(f"user-{number}"))
    now += CONNECTION_TTL_S + 1
    await presence.connect(_connection("newcomer"))
    await presence.sweep(1_000)
    assert list(presence._records.known_users()) == ["newcomer"]


async def test_asking_for_strangers_or_disconnecting_leaves_nothing_behind() -> None:
    presence = EmbeddedPresence()
    await presence.connections_of("stranger")
    await presence.locations_of("stranger")
    await presence.presences_of(["stranger"])
    await presence.connect(_connection("alice"))
    await presence.disconnect(_connection("alice"), last=True)
    assert not presence._records.known_users()


async def test_the_end_of_a_connection_is_remembered_for_as_long_as_a_renewal_may_come_late() -> None:
    now = 0.0
    presence = EmbeddedPresence(clock=lambda: now)
    await presence.connect(_connection("alice"))
    await presence.disconnect(_connection("alice"), last=True)
    now += ENDED_KEPT_S + 1
    await presence.sweep(10)
    assert presence._records._ended == {}
