"""The benchmark cases: what is measured, what the figures mean, and whether they meet their targets."""

from typing import Any, Final

from benchmarks.case import Case
from benchmarks.cases import accepting, churn, login, pipeline, route, sizing, sockets, stalls

CASES: Final[tuple[Case[Any], ...]] = (
    sizing.CASE,
    login.CASE,
    route.CASE,
    churn.CASE,
    accepting.CASE,
    sockets.CASE,
    pipeline.CASE,
    stalls.CASE,
)
"""In the order in which `fanout bench all` runs them."""
