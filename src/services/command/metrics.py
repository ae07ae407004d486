"""The metrics of the command service."""

from prometheus_client import Counter, Gauge

CHANGES_TOLD_LATE = Counter(
    "fanout_membership_changes_told_late_total",
    "Membership changes that a sweep published, because the calls that made them had not",
)
CHANGES_UNTOLD = Gauge(
    "fanout_membership_changes_untold",
    "Membership changes that the last sweep found in the store and that were not yet published",
)
CHANGES_TOLD_AGAIN = Counter(
    "fanout_membership_changes_told_again_total",
    "Membership changes that were published again, because the log had lost them",
)
