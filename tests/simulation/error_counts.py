"""What the product's metrics count of errors that it handles: in a run none of them may happen."""

from collections.abc import Sequence
from typing import Final

from prometheus_client import Counter

from services.fan_out.metrics import BATCHES_TOO_LARGE, USERS_REFUSED
from services.runtime.skipping import HANDLERS_FAILED, MESSAGES_SKIPPED

COUNTERS: Final = (HANDLERS_FAILED, MESSAGES_SKIPPED, USERS_REFUSED, BATCHES_TOO_LARGE)
"""Each counts what no fault of a run explains. Snapshots are not among them: to write one, a worker needs the log."""

_Values = dict[tuple[str, str], float]


class ErrorCounts:
    """How much the metrics have counted since this was made. They are those of the interpreter, not of one process.

    Args:
        counters: which ones.
    """

    def __init__(self, counters: Sequence[Counter] = COUNTERS) -> None:
        self._counters = counters
        self._before = self._values()

    def counted(self) -> list[str]:
        """Each that has counted something, with its labels and how much."""
        now = self._values()
        more = {key: value - self._before.get(key, 0.0) for key, value in now.items()}
        return [f"{name}{labels} counts {count:g}" for (name, labels), count in more.items() if count]

    def _values(self) -> _Values:
        return {
            (sample.name, _text(sample.labels)): sample.value
            for counter in self._counters
            for metric in counter.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        }


def _text(labels: dict[str, str]) -> str:
    return f"{{{', '.join(f'{name}={value}' for name, value in labels.items())}}}" if labels else ""
