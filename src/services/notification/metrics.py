"""The metrics of a notification instance."""

from prometheus_client import Counter, Gauge

CONNECTIONS = Gauge("fanout_connections", "Open WebSockets that are authenticated")
CONNECTIONS_CLOSED = Counter("fanout_connections_closed_total", "WebSockets closed by the server", ["code"])
FRAMES_SENT = Counter("fanout_frames_sent_total", "Frames written to sockets")
FRAMES_DROPPED = Counter(
    "fanout_frames_dropped_total", "Ephemeral frames that were dropped because the client reads slowly"
)
FRAMES_REFUSED = Counter("fanout_client_frames_refused_total", "Client frames answered by an error", ["code"])
GAPS_REPAIRED = Counter("fanout_gaps_repaired_total", "Gaps in the inbox that were repaired from the log")
GAPS_PASSED_OVER = Counter(
    "fanout_gaps_passed_over_total",
    "Gaps in the inbox that the log did not give in time; their events may be missed, and can be read elsewhere",
    ["stream"],
)
STALE_DROPPED = Counter(
    "fanout_stale_events_dropped_total", "Events that were dropped because they had been delivered already"
)
LOG_RESETS = Counter("fanout_log_resets_total", "How often a stream of the log went back", ["stream"])
INBOX_OVERFLOWS = Counter(
    "fanout_inbox_overflows_total", "Batches dropped because the inbox was full; their events are read from the log"
)
ROUTING_UNCONFIRMED = Counter(
    "fanout_placements_unconfirmed_total",
    "Users admitted before every fan-out worker confirmed that it routes to this instance",
)
USERS_UNCONFIRMED = Gauge("fanout_users_unconfirmed", "Connected users whom not every fan-out worker has confirmed yet")
USERS_AWAITED = Gauge("fanout_users_awaited", "Users whom fan-out workers are asked to confirm now")
CHANNEL_LISTS = Counter(
    "fanout_channel_lists_total", "Lists of a user's channels that were loaded, by who gave them", ["given_by"]
)
CATCH_UPS = Counter(
    "fanout_catch_ups_total",
    "Clients that were caught up, by tier and its cause: gap (the time away), point (the client's point is not of this "
    "log), many (more was missed than is replayed), memberships (too many changed), log_reset",
    ["tier", "cause"],
)
EVENTS_REPLAYED = Counter("fanout_events_replayed_total", "Messages that were replayed to clients that were away")
LOG_READS = Counter("fanout_replayed_log_reads_total", "Ranges of the log that were read for clients that were away")
LOG_EVENTS_READ = Counter("fanout_replayed_log_events_total", "Events that these ranges had")
LOG_BYTES_CACHED = Gauge("fanout_replayed_log_bytes", "Bytes of messages that are kept for clients that were away")
LEASE_HELD = Gauge("fanout_lease_held", "1 while the instance has its lease in the presence store, otherwise 0")
LEASE_RENEWALS_FAILED = Counter(
    "fanout_lease_renewals_failed_total", "How often the presence store did not renew the lease of the instance"
)
UNAUTHENTICATED = Gauge("fanout_connections_unauthenticated", "Open WebSockets that are not authenticated yet")
CONNECTIONS_REFUSED = Counter(
    "fanout_connections_refused_total",
    "WebSockets closed before their session opened, by cause: full, unauthenticated, user, token, malformed, store",
    ["cause"],
)
