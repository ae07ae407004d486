"""Every command configures logging, on a standard error that ends with the test."""

from collections.abc import Iterator

import pytest

from tests.support.logs import logging_put_back


@pytest.fixture(autouse=True)
def _logging_stays_as_it_was() -> Iterator[None]:
    with logging_put_back():
        yield
