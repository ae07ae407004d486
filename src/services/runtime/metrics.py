"""Metrics: the text of a registry. The registry itself is passed on by argument, so that tests have their own."""

from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


def render(registry: CollectorRegistry) -> bytes:
    """The registry in Prometheus' text format, as `CONTENT_TYPE` names it."""
    return generate_latest(registry)
