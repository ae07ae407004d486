"""What the command service counts."""

from prometheus_client import Counter, Gauge

CHANGES_TOLD_LATE = Counter(
    "fanout_membership_changes_told_late_total",
    "Changes of memberships that a sweep told, since the calls that made them had not",
)
CHANGES_UNTOLD = Gauge(
    "fanout_membership_changes_untold",
    "Changes of memberships that the last sweep found in the store and not yet told",
)
CHANGES_TOLD_AGAIN = Counter(
    "fanout_membership_changes_told_again_total",
    "Changes of memberships that were told again since the log had lost them",
)
