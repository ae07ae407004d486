import pytest

from tests.support.client_frames import Room


@pytest.fixture
def room() -> Room:
    """An instance without clients."""
    return Room()
