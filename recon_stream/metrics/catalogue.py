"""Every metric, in one place: name, labels, one sentence. Incremented once a batch, never once an event."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_BATCH_BUCKETS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10000)
_STAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

BUILD = Gauge("recon_build_info", "Always 1; the labels say what runs here.", ["version", "role", "python"])

# worker
EVENTS = Counter("recon_events_total", "Source records applied, whatever became of them.", ["source"])
REREAD = Counter(
    "recon_reread_total",
    "Records read again after a restart or rebalance and answered with the same results.",
    ["source"],
)
DUPLICATES = Counter(
    "recon_duplicates_total", "Copies of an event, by who noticed: filter (Redis) or state.", ["source", "by"]
)
STALE = Counter("recon_stale_total", "Events older than the revision in force.", ["source"])
RESULTS = Counter("recon_results_total", "Result revisions published.", ["verdict"])
BREAKS = Counter("recon_breaks_total", "Breaks opened and resolved.", ["break_class", "move"])
DEAD_LETTERS = Counter("recon_dead_letters_total", "Records sent to recon_dead_letters.", ["reason"])
LAG = Gauge(
    "recon_lag_records", "Records at the broker that are not yet applied and acknowledged.", ["topic", "partition"]
)
WATERMARK_AGE = Gauge(
    "recon_watermark_age_seconds", "Clock minus watermark, by topic and partition.", ["topic", "partition"]
)
CLOCK_AHEAD = Gauge(
    "recon_clock_ahead_seconds",
    "This machine's clock minus the brokers', as their acknowledgements tell it; deadlines go by theirs.",
)
BATCH_RECORDS = Histogram("recon_batch_records", "Records in one unit of work.", buckets=_BATCH_BUCKETS)
STAGE_SECONDS = Histogram(
    "recon_stage_seconds", "Time of one unit of work in a stage.", ["stage"], buckets=_STAGE_BUCKETS
)
STATE_ROWS = Gauge(
    "recon_state_rows_estimate", "Estimated rows in the state of this process, by partition.", ["partition"]
)
STATE_BYTES = Gauge("recon_state_bytes", "Bytes on disk of the state of this process, by partition.", ["partition"])
DEADLINES_HELD = Gauge(
    "recon_deadlines_held", "1 while the deadlines of a source are held because its feed is stalled.", ["source"]
)
DEADLINES_FIRED = Counter("recon_deadlines_fired_total", "Deadlines that passed, by kind.", ["kind"])
FEED_STALLED = Counter("recon_feed_stalled_total", "Times a feed was found stalled.", ["source"])
MISPLACED = Counter(
    "recon_misplaced_records_total",
    "Records seen in another partition than that of their key; of a sample while there are none.",
    ["topic"],
)
FILTER_FAIL_OPEN = Counter(
    "recon_filter_fail_open_total",
    "Calls that the Redis filter did not answer: the state decided alone on what they asked about.",
)
ZOMBIES = Counter("recon_zombies_total", "Units of work that found another worker's name on an event in flight.")
RECOVERED = Counter("recon_recovered_records_total", "Changelog records applied while recovering.")
VOID_ROWS = Counter(
    "recon_void_rows_total",
    "Changelog records left out while recovering: a worker wrote them that had lost the partition.",
)
RECOVERY_REMAINING = Gauge(
    "recon_recovery_rows_remaining", "Changelog rows still to recover, at most, by partition.", ["partition"]
)
RECOVERY_SECONDS = Gauge("recon_recovery_seconds", "How long the latest recovery took, or has taken so far.")

# sink
SINK_ROWS = Counter("recon_sink_rows_total", "Rows written to PostgreSQL.", ["table"])
SINK_SKIPPED = Counter("recon_sink_skipped_total", "Records that were already stored (read again).", ["table"])
SINK_CONFLICTS = Counter(
    "recon_sink_conflicts_total", "Results of an equal or lower revision with other content, kept aside."
)
SINK_SECONDS = Histogram(
    "recon_sink_transaction_seconds", "One PostgreSQL transaction of the sink.", ["table"], buckets=_STAGE_BUCKETS
)
SINK_PAUSED = Gauge("recon_sink_paused", "1 while PostgreSQL is away and the sink waits.", ["table"])
ACCOUNTING_VIOLATIONS = Gauge(
    "recon_accounting_violations",
    "Violations of an invariant that are not healed, as this process found them last; /status names them.",
    ["check"],
)
ACCOUNTING_AT = Gauge(
    "recon_accounting_checked_timestamp_seconds", "When this process last checked that every record is accounted for."
)

# web
AUTH_FAILURES = Counter("recon_auth_failures_total", "Access tokens that were refused, by why.", ["reason"])
SESSIONS_UNKNOWN = Counter(
    "recon_sessions_unknown_total",
    "Times that nobody could tell whether a session had ended, because Redis did not answer: the token alone decided.",
)
HTTP_REQUESTS = Counter(
    "recon_http_requests_total", "Requests answered; `-` where no endpoint is meant.", ["method", "path", "status"]
)
HTTP_SECONDS = Histogram(
    "recon_http_request_seconds", "One request, by the path's pattern.", ["method", "path"], buckets=_STAGE_BUCKETS
)
RATE_LIMITED = Counter("recon_rate_limited_total", "Requests refused because there were too many.", ["path"])
LIMITER_FALLBACK = Counter(
    "recon_limiter_fallback_total", "Requests counted by the process alone because Redis did not answer."
)
CACHE = Counter(
    "recon_cache_total",
    "Answers asked of the cache: hit, miss, shared with who asked just before, or ahead of a question.",
    ["category", "outcome"],
)
AUDIT_ENTRIES = Counter("recon_audit_entries_total", "Entries appended to the audit trail.")
AUDIT_WAITING = Gauge("recon_audit_waiting", "Entries that wait for PostgreSQL.")
AUDIT_LAST = Gauge(
    "recon_audit_last_seq",
    "Number of the newest entry that this process has appended to the audit trail: the trail must never end before it.",
)
DEAD_LETTER_ACTIONS = Counter("recon_dead_letter_actions_total", "Dead letters replayed and discarded.", ["action"])
EXPORTED_ROWS = Counter("recon_exported_rows_total", "Rows that left by exports.", ["list"])

LIVE_SOCKETS = Gauge("recon_live_sockets", "Websockets that are open.")
LIVE_CLOSED = Counter("recon_live_closed_total", "Websockets that ended, by the code they were closed with.", ["code"])
LIVE_MESSAGES = Counter("recon_live_messages_total", "Records handed to websockets, once for each.", ["channel"])
LIVE_RESUMED = Counter(
    "recon_live_resumed_total",
    "Subscriptions that asked for what they missed: memory, kafka, or the reason why it cannot be told.",
    ["channel", "outcome"],
)
LIVE_BEHIND = Gauge("recon_live_behind_records", "Records at the broker that the live feed has not read.", ["channel"])
LIVE_SKIPPED = Counter("recon_live_skipped_total", "Times the live feed left records out to be of now.", ["channel"])

# every process
RESTARTS = Counter("recon_process_restarts_total", "Children restarted by this parent.", ["role"])
