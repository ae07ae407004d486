"""Every command configures logging, on a standard error that ends with the test, and keeps figures."""

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from tests.support.logs import logging_put_back


@pytest.fixture(autouse=True)
def _logging_stays_as_it_was() -> Iterator[None]:
    with logging_put_back():
        yield


@pytest.fixture(autouse=True)
def _each_command_has_figures_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.composition.running.REGISTRY", CollectorRegistry())
