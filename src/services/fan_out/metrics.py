"""The metrics of a fan-out worker."""

from prometheus_client import Counter, Gauge

READER_NAME = "fan-out"
"""The name of the workers as readers of the log, in the label of the metric of dead letters."""

EVENTS_ROUTED = Counter("fanout_events_routed_total", "Stored message events routed to instances")
TYPING_DROPPED = Counter(
    "fanout_typing_dropped_total",
    "Typing notices dropped because the bus takes no batch, or too many bytes wait for it",
)
PARTITIONS_HELD = Gauge("fanout_partitions_held", "Partitions that this worker reads")
USERS_PLACED = Gauge("fanout_users_placed", "Online users in the routing table")
USERS_REFUSED = Counter("fanout_users_refused_total", "Users for whom the routing table had no room")
CHANNEL_LISTS_ANSWERED = Counter(
    "fanout_channel_lists_answered_total",
    "Requests of instances for the channels of a user, by answer: sent, unknown, failed, none (too many or too old)",
    ["answer"],
)
INSTANCES_EVICTED = Counter(
    "fanout_instances_evicted_total", "Instances evicted: stopped, replaced, or without lease and digests"
)
INSTANCES_WITHOUT_LEASE = Gauge(
    "fanout_instances_without_lease", "Instances in the routing table that have no lease in Redis"
)
INSTANCES_SUSPENDED = Gauge(
    "fanout_instances_suspended",
    "Instances that this worker sends no stored event until their presence sets are compared; they read the log",
)
SNAPSHOT_BYTES = Gauge("fanout_snapshot_bytes", "Length of the last snapshot of the routing table")
SNAPSHOT_SECONDS = Gauge("fanout_snapshot_seconds", "Seconds that the last snapshot of the routing table took to write")
SNAPSHOTS_FAILED = Counter("fanout_snapshots_failed_total", "Snapshots of the routing table that could not be written")
BATCHES_TOO_LARGE = Counter(
    "fanout_batches_too_large_total",
    "Batches dropped because they are longer than the new limit of the bus; instances read the log instead",
)
PRESENCE_SETS_REPAIRED = Counter(
    "fanout_presence_sets_repaired_total", "Presence sets that differed from the routing table and were repaired"
)
