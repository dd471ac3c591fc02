"""Every stream, bucket and durable consumer of the platform, as data. The provisioner makes them so.

Services declare nothing (ADR 0005): a second declarer silently changes limits, and an existing durable
silently keeps its old settings.
"""

from dataclasses import dataclass

DAY_S = 86_400
MIB = 1024 * 1024
MAX_MESSAGE_BYTES = MIB
"""The broker's max_payload; intake and scoring split what would not fit."""


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One JetStream stream.

    Attributes:
        truth: the stream can't be derived again: it refuses new messages when full (``discard=new``) and
            forbids delete and purge. Derived streams drop their oldest messages instead.
        max_age_s: messages older than this expire at the front; 0 keeps them for good.
        duplicate_window_s: how long the broker itself remembers a ``Nats-Msg-Id``; the first of three lines.
        archived: whether the archive stores every sequence of it.
        share: per cent of the storage budget that its ``max_bytes`` is.
        message_ttl: single messages may carry a ``Nats-TTL`` and disappear by themselves (leases).
        schedules: messages may be published for later (``Nats-Schedule``); such a stream drops its oldest
            messages when full, which the server insists on, so whoever sets timers has to look after them.
    """

    name: str
    subjects: tuple[str, ...]
    description: str
    truth: bool
    archived: bool
    max_age_s: int
    share: int
    duplicate_window_s: int = 600
    last_per_subject: bool = False
    deletable: bool = False
    message_ttl: bool = False
    schedules: bool = False


@dataclass(frozen=True, slots=True)
class ConsumerSpec:
    """One durable pull consumer.

    Attributes:
        ack_all: acknowledging one message acknowledges all before it (the archive's ordered batches);
            otherwise each message is acknowledged by itself.
        max_ack_pending: deliveries that may be outstanding, those that wait for a retry included; at this
            bound nothing new is delivered.
    """

    stream: str
    durable: str
    service: str
    filters: tuple[str, ...]
    description: str
    ack_all: bool = False
    ack_wait_s: int = 30
    max_ack_pending: int = 1000


@dataclass(frozen=True, slots=True)
class RetiredConsumer:
    """A durable consumer of an earlier version, whose place a position has taken.

    Attributes:
        position: key of the position; once it is written, nobody needs the durable any more.
    """

    stream: str
    durable: str
    position: str


FEEDBACK = "FEEDBACK"
CASES = "CASES"
AUDIT = "AUDIT"
RANKING = "RANKING"
INTEGRITY = "INTEGRITY"
ALERTS = "ALERTS"
REGISTRY = "REGISTRY"
DEADLETTER = "DEADLETTER"
VAULT = "VAULT"
CASEKEYS = "CASEKEYS"
TIMERS = "TIMERS"
RANKINGS_BUCKET = "rankings"
INTEGRITY_BUCKET = "integrity"
QUOTAS_BUCKET = "quotas"
"""What each replica of intake has counted of late; places are keyed hashes."""
LEASES_BUCKET = "leases"
"""Who leads: one key for each service of which only one replica may publish."""
NONCES_BUCKET = "nonces"
"""Nonces of signed requests that intake has seen, so that each is good once on any replica."""
SNAPSHOTS_BUCKET = "snapshots"
"""Object store of scoring's snapshots, and the key-value bucket that points to those that count."""
POSITIONS_BUCKET = "positions"
"""How far those are who act on what a fold brings them: one key for each (ADR 0066)."""
NOTIFY_RATINGS = "notify-feedback"
"""Who judges ratings for alerts: in dead letters, and as the key of its position."""

STREAMS: tuple[StreamSpec, ...] = (
    StreamSpec(
        FEEDBACK, ("feedback.v1.>",), "Citizens' feedback. Never public.",
        truth=True, archived=True, max_age_s=400 * DAY_S, share=38,
    ),
    StreamSpec(
        CASES, ("cases.v1.>",), "Rectification cases, one subject for each. Never public.",
        truth=True, archived=True, max_age_s=400 * DAY_S, share=9,
    ),
    StreamSpec(
        AUDIT, ("audit.v1.>",), "Facts about the audit log itself.",
        truth=True, archived=True, max_age_s=400 * DAY_S, share=7,
    ),
    StreamSpec(
        RANKING, ("ranking.v1.>",), "Rankings and scores: aggregated, suppressed, public.",
        truth=False, archived=True, max_age_s=90 * DAY_S, share=4,
    ),
    StreamSpec(
        # Kept for good: who is appraised, and what two people decided, is the fold of all of it.
        REGISTRY,
        ("registry.v1.>", "approvals.v1.>", "supervision.v1.>", "bulletins.v1.>", "sanctions.v1.>"),
        "Units and panels, approvals, campaigns, findings, bulletins, sanctions. Never public.",
        truth=True, archived=True, max_age_s=0, share=2,
    ),
    StreamSpec(
        # Not in RANKING: a direct read names a sequence, so whoever may read a stream reads all of it.
        INTEGRITY, ("integrity.v1.>",), "Ratings that look made up. Never public.",
        truth=False, archived=True, max_age_s=90 * DAY_S, share=2,
    ),
    StreamSpec(
        ALERTS, ("alerts.v1.>",), "Alerts and their deliveries.",
        truth=False, archived=True, max_age_s=90 * DAY_S, share=5,
    ),
    StreamSpec(
        DEADLETTER, ("deadletter.v1.>",), "Messages that no retry can save. Outlives all others.",
        truth=False, archived=True, max_age_s=800 * DAY_S, share=4,
    ),
    StreamSpec(
        # Not the last per subject only: the broker unlinks what it drops so, but overwrites what is deleted.
        VAULT, ("vault.v1.>",), "Keys of sealed texts, and contacts; deletable: so a person is erased.",
        truth=False, archived=False, max_age_s=0, share=10, deletable=True,
    ),
    StreamSpec(
        CASEKEYS, ("casekeys.v1.>",), "Keys of the texts of cases; deletable: so a case's texts are erased.",
        truth=False, archived=False, max_age_s=0, share=1, last_per_subject=True, deletable=True,
    ),
    StreamSpec(
        # Not archived: what a timer leads to is an event. One that is lost is made again from its case.
        TIMERS, ("timers.v1.>",), "Reminders of cases, published for later by the broker itself.",
        truth=False, archived=False, max_age_s=0, share=2, last_per_subject=True, message_ttl=True,
        schedules=True,
    ),
    StreamSpec(
        f"KV_{RANKINGS_BUCKET}", (f"$KV.{RANKINGS_BUCKET}.>",), "Current rankings, for anyone to watch.",
        truth=False, archived=False, max_age_s=0, share=5, last_per_subject=True, deletable=True,
    ),
    StreamSpec(
        f"OBJ_{SNAPSHOTS_BUCKET}", (f"$O.{SNAPSHOTS_BUCKET}.C.>", f"$O.{SNAPSHOTS_BUCKET}.M.>"),
        "Snapshots of scoring's fold, in chunks; it can be folded again.",
        truth=False, archived=False, max_age_s=0, share=5, deletable=True,
    ),
    StreamSpec(
        f"KV_{SNAPSHOTS_BUCKET}", (f"$KV.{SNAPSHOTS_BUCKET}.>",), "Which snapshots count, newest first.",
        truth=False, archived=False, max_age_s=0, share=1, last_per_subject=True, deletable=True,
    ),
    StreamSpec(
        f"KV_{LEASES_BUCKET}", (f"$KV.{LEASES_BUCKET}.>",), "Which replica leads; expires by itself.",
        truth=False, archived=False, max_age_s=0, share=1, last_per_subject=True, deletable=True,
        message_ttl=True,
    ),
    StreamSpec(
        f"KV_{QUOTAS_BUCKET}", (f"$KV.{QUOTAS_BUCKET}.>",), "What replicas of intake count. Never public.",
        truth=False, archived=False, max_age_s=0, share=1, last_per_subject=True, deletable=True,
        message_ttl=True,
    ),
    StreamSpec(
        # Not in the bucket of the rankings, which anyone may watch.
        f"KV_{INTEGRITY_BUCKET}", (f"$KV.{INTEGRITY_BUCKET}.>",), "What is flagged at present. Never public.",
        truth=False, archived=False, max_age_s=0, share=1, last_per_subject=True, deletable=True,
    ),
    StreamSpec(
        f"KV_{POSITIONS_BUCKET}", (f"$KV.{POSITIONS_BUCKET}.>",), "How far readers are. Never public.",
        truth=False, archived=False, max_age_s=0, share=1, last_per_subject=True, deletable=True,
    ),
    StreamSpec(
        # Twice the tolerance of a signature's time, and a minute for clocks.
        f"KV_{NONCES_BUCKET}", (f"$KV.{NONCES_BUCKET}.>",), "Nonces of signed requests; they expire.",
        truth=False, archived=False, max_age_s=660, share=1, last_per_subject=True,
    ),
)  # fmt: skip
"""The shares add up to 100; docs/operations.md says how to size the budget."""

ARCHIVED: tuple[str, ...] = tuple(spec.name for spec in STREAMS if spec.archived)

CONSUMERS: tuple[ConsumerSpec, ...] = (
    ConsumerSpec(
        RANKING, "notify-ranking", "notify", ("ranking.v1.score-changed.>",), "Score changes to alerts.",
    ),
    ConsumerSpec(
        AUDIT, "notify-audit", "notify", ("audit.v1.stream-diverged.>",), "Diverged streams to alerts.",
    ),
    ConsumerSpec(
        INTEGRITY, "notify-integrity", "notify", ("integrity.v1.unit-flagged.>",), "Flags to alerts.",
    ),
    ConsumerSpec(
        DEADLETTER, "notify-deadletter", "notify", ("deadletter.v1.rejected.>",), "Dead letters to alerts.",
    ),
    ConsumerSpec(
        # All facts of a case are on one subject; notify looks at their types.
        CASES, "notify-cases", "notify", ("cases.v1.changed.>",), "Clocks and steps of cases to alerts.",
    ),
    ConsumerSpec(
        REGISTRY, "notify-sanctions", "notify",
        tuple(f"sanctions.v1.{topic}.>" for topic in ("strike", "sanction", "nomination", "candidate")),
        "Strikes, sanctions and who is named at the ends of closed lists to alerts.",
    ),
    ConsumerSpec(
        RANKING, "notify-periods", "notify", ("ranking.v1.period-closed.>",), "Closed quarters to alerts.",
    ),
    *(
        ConsumerSpec(
            ALERTS, f"notify-deliver-{channel}", "notify", ("alerts.v1.raised.>",),
            f"Delivers alerts by {channel}: each channel at its own pace.",
            # Alerts that wait for another attempt (a day for a webhook) or for their turn at a robot count as
            # outstanding. At the bound, one receiver that is away would hold up all others. It costs the
            # broker's bookkeeping only: notify has a thousand in memory at a time.
            max_ack_pending=100_000,
        )
        for channel in ("console", "webhook", "email", "wecom", "dingtalk", "feishu", "sms")
    ),
    ConsumerSpec(
        # In order: what becomes of a rating must not be read before the rating itself. No filters: with
        # several the broker looks at all subjects of a block for each message.
        FEEDBACK, "rectify-feedback", "rectify", (),
        "Bad reviews to cases.", ack_all=True, ack_wait_s=60, max_ack_pending=20_000,
    ),
    ConsumerSpec(
        # In order: that a finding is refuted must not be read before the finding.
        REGISTRY, "rectify-findings", "rectify",
        tuple(
            f"supervision.v1.{fact}.>"
            for fact in ("inspection-recorded", "incident-recorded", "finding-verified")
        ),
        "Spot checks and incidents to cases.", ack_all=True, ack_wait_s=60, max_ack_pending=20_000,
    ),
    *(
        ConsumerSpec(
            stream, f"archive-{stream.lower()}", "archive", (), f"Archives {stream}.",
            ack_all=True, ack_wait_s=60, max_ack_pending=20_000,
        )
        for stream in ARCHIVED
    ),
)  # fmt: skip

RETIRED: tuple[RetiredConsumer, ...] = (RetiredConsumer(FEEDBACK, NOTIFY_RATINGS, NOTIFY_RATINGS),)
"""The provisioner removes them; until then their floor says where a service goes on that has no position."""
