import pytest
from prometheus_client import CollectorRegistry, Counter

from services.runtime.skipping import HANDLERS_FAILED, guarded, skip
from tests.simulation.error_counts import COUNTERS, ErrorCounts


def counters() -> tuple[Counter, Counter]:
    registry = CollectorRegistry()
    return Counter("lost", "lost", registry=registry), Counter("skipped", "skipped", ["kind", "of"], registry=registry)


def _fail() -> None:
    raise KeyError("a")


def test_what_was_counted_before_does_not_count() -> None:
    lost, skipped = counters()
    lost.inc()
    skipped.labels("batch", "a").inc()
    assert ErrorCounts([lost, skipped]).counted() == []


def test_each_counter_that_has_counted_is_said_with_its_labels() -> None:
    lost, skipped = counters()
    skipped.labels("batch", "a").inc()
    counts = ErrorCounts([lost, skipped])
    lost.inc()
    skipped.labels("batch", "a").inc(2)
    skipped.labels("digest", "b").inc()
    assert counts.counted() == [
        "lost_total counts 1",
        "skipped_total{kind=batch, of=a} counts 2",
        "skipped_total{kind=digest, of=b} counts 1",
    ]


def test_handlers_that_fail_and_messages_that_are_skipped_count() -> None:
    counts = ErrorCounts()
    guarded("error-counts", _fail)()
    skip("error-counts", "it is malformed")
    assert len(counts.counted()) == 2
    assert HANDLERS_FAILED in COUNTERS


@pytest.mark.parametrize("counter", COUNTERS, ids=str)
def test_each_counter_is_one_of_the_product(counter: Counter) -> None:
    (metric,) = counter.collect()
    assert metric.name.startswith("fanout_")
