"""What a notification instance counts."""

from prometheus_client import Counter, Gauge

CONNECTIONS = Gauge("fanout_connections", "Open WebSockets that are authenticated")
CONNECTIONS_CLOSED = Counter("fanout_connections_closed_total", "WebSockets closed by the server", ["code"])
FRAMES_SENT = Counter("fanout_frames_sent_total", "Frames handed to sockets")
FRAMES_DROPPED = Counter("fanout_frames_dropped_total", "Ephemeral frames that a slow reader did not get")
FRAMES_REFUSED = Counter("fanout_client_frames_refused_total", "Client frames answered by an error", ["code"])
GAPS_REPAIRED = Counter("fanout_gaps_repaired_total", "Holes in the inbox that were read from the log")
STALE_DROPPED = Counter("fanout_stale_events_dropped_total", "Events that had been delivered already")
LOG_RESETS = Counter("fanout_log_resets_total", "Times that a stream was found to have gone back", ["stream"])
INBOX_OVERFLOWS = Counter(
    "fanout_inbox_overflows_total", "Batches dropped because the inbox was full; read from the log"
)
PLACEMENTS_UNCONFIRMED = Counter(
    "fanout_placements_unconfirmed_total", "Users admitted before every worker placed them"
)
LEASE_HELD = Gauge("fanout_lease_held", "1 while the instance has its lease in the presence store, else 0")
LEASE_RENEWALS_FAILED = Counter(
    "fanout_lease_renewals_failed_total", "Times that the presence store did not renew the instance's lease"
)
UNAUTHENTICATED = Gauge("fanout_connections_unauthenticated", "Open WebSockets that are not authenticated yet")
CONNECTIONS_REFUSED = Counter(
    "fanout_connections_refused_total",
    "WebSockets closed before their session opened, by cause: full, unauthenticated, user, token, malformed, store",
    ["cause"],
)
