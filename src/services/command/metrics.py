"""The metrics of the command service."""

from prometheus_client import Counter, Gauge

CHANGES_PUBLISHED_LATE = Counter(
    "fanout_membership_changes_published_late_total",
    "Membership changes that a sweep published, because the calls that made them had not",
)
CHANGES_UNPUBLISHED = Gauge(
    "fanout_membership_changes_unpublished",
    "Membership changes that the last sweep found in the store and that were not yet published",
)
CHANGES_REPUBLISHED = Counter(
    "fanout_membership_changes_republished_total",
    "Membership changes that were published again, because the log had lost them",
)
