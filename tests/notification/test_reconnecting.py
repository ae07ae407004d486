"""How far clients spread their return."""

from services.notification.reconnecting import LONGEST_MS, SHORTEST_MS, reconnect_within_ms


def test_the_spread_grows_with_the_clients_of_the_instance_within_bounds() -> None:
    assert [reconnect_within_ms(sessions) for sessions in (0, 1, 125)] == [SHORTEST_MS] * 3
    assert reconnect_within_ms(10_000) == 20_000
    assert reconnect_within_ms(1_000_000) == LONGEST_MS
