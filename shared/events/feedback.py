"""Facts about citizens' feedback. Stream ``FEEDBACK``, producer intake. Never public.

No field here may carry an identity: people, devices, addresses and transactions appear as keyed HMACs
(``<key id>.<32 hex digits>``), free text appears sealed (ADR 0007).
"""

from typing import Annotated

from pydantic import Field

from shared.events.base import CityCode, CountyCode, EventData, EventIdField, Instant, Ordinal, UnitIdField
from shared.kernel.grades import Channel, Level, Source, Verification
from shared.kernel.reasons import (
    CorrectionReason,
    ExclusionReason,
    QuarantineReason,
    ReinstatementReason,
    ReleaseReason,
    WithdrawalReason,
)

KeyedHmac = Annotated[str, Field(pattern=r"^[a-z0-9]{1,16}\.[0-9a-f]{32}$")]
TextBands = Annotated[str, Field(pattern=r"^[a-z0-9]{1,16}\.[0-9a-f]{96}$")]
GradeValue = Annotated[int, Field(ge=1, le=5)]


class SealedText(EventData):
    """Free text that can be erased: AES-256-GCM under a key of its own, kept outside of the streams."""

    alg: Annotated[str, Field(description="Cipher, always A256GCM in v1.", pattern="^A256GCM$")] = "A256GCM"
    record: Annotated[str, Field(description="Vault record that holds the key; opaque.", max_length=64)]
    nonce: Annotated[str, Field(description="96-bit nonce, base64.", max_length=24)]
    ciphertext: Annotated[
        str, Field(description="Ciphertext with its 128-bit tag, base64.", max_length=65536)
    ]


class DimensionGrades(EventData):
    """Optional sub-grades 1-5 beside the overall grade (五比)."""

    service: Annotated[GradeValue | None, Field(description="Service 服务.")] = None
    efficiency: Annotated[GradeValue | None, Field(description="Efficiency 效率.")] = None
    quality: Annotated[GradeValue | None, Field(description="Quality 质量.")] = None
    conduct: Annotated[GradeValue | None, Field(description="Conduct 作风.")] = None
    image: Annotated[GradeValue | None, Field(description="Image 形象.")] = None


class Alias(EventData):
    """What an earlier key makes of the same citizen, device, address, transaction and text (ADR 0032).

    Only while keys are being changed: it lets a fold match a rating with those before the change.
    """

    citizen_hmac: Annotated[KeyedHmac | None, Field(description="Pseudonym of the citizen.")] = None
    device_hmac: Annotated[KeyedHmac | None, Field(description="Fingerprint of the device.")] = None
    address_hmac: Annotated[KeyedHmac | None, Field(description="Fingerprint of the network address.")] = None
    transaction_hmac: Annotated[
        KeyedHmac | None, Field(description="Pseudonym of the transaction; on a ballot, of its unit.")
    ] = None
    text_hmac: Annotated[KeyedHmac | None, Field(description="Fingerprint of the normalised text.")] = None
    similarity: Annotated[TextBands | None, Field(description="The bands of a rating's text.")] = None


Aliases = Annotated[
    tuple[Alias, ...] | None,
    Field(description="The same pseudonyms under earlier keys that are still live, the latest first."),
]


class FeedbackSubmitted(EventData):
    """Intake accepted one rating of one service unit.

    The envelope's ``time`` is when it happened (``occurred_at``), ``receivedat`` when intake received it;
    lateness is their difference and both are facts of the event, so every fold agrees on it.
    """

    unit_id: Annotated[UnitIdField, Field(description="Opaque id of the rated unit.")]
    level: Annotated[Level, Field(description="Level of the unit when it was rated.")]
    kind: Annotated[str | None, Field(description="Window kind of the rule pack; null for a bureau.")] = None
    city: Annotated[CityCode, Field(description="GB/T 2260 prefecture, 4 digits, or 'all'.")]
    county: Annotated[CountyCode, Field(description="GB/T 2260 county, 6 digits, or 'all'.")]
    grade: Annotated[GradeValue, Field(description="5 very satisfied … 1 very dissatisfied.")]
    dimensions: Annotated[DimensionGrades | None, Field(description="Sub-grades, where given.")] = None
    source: Annotated[Source, Field(description="One of the five sources of appraisal.")]
    channel: Annotated[Channel, Field(description="Channel that the rating came through.")]
    verification: Annotated[
        Verification, Field(description="How far the rater is verified; sets the weight.")
    ]
    citizen_hmac: Annotated[KeyedHmac | None, Field(description="Pseudonym of the citizen.")] = None
    device_hmac: Annotated[KeyedHmac | None, Field(description="Fingerprint of the device.")] = None
    address_hmac: Annotated[KeyedHmac | None, Field(description="Fingerprint of the network address.")] = None
    transaction_hmac: Annotated[
        KeyedHmac | None, Field(description="Pseudonym of the transaction; on a ballot, of its unit.")
    ] = None
    text_hmac: Annotated[KeyedHmac | None, Field(description="Fingerprint of the normalised text.")] = None
    similarity: Annotated[
        TextBands | None,
        Field(
            description="Eight keyed hashes of 48 bits: nearly the same texts about one unit share some. "
            "Null for short texts."
        ),
    ] = None
    text: Annotated[SealedText | None, Field(description="The scrubbed comment, sealed.")] = None
    has_contact: Annotated[bool, Field(description="Whether the vault holds a contact for call-back.")] = (
        False
    )
    contact_record: Annotated[
        str | None, Field(description="Vault record that holds the contact; opaque.", max_length=64)
    ] = None
    digest: Annotated[
        KeyedHmac, Field(description="HMAC over the client's own fields: decides 'same' or 'different'.")
    ]
    aliases: Aliases = None
    by_token: Annotated[
        bool | None,
        Field(description="True if a one-time token proved the transaction; null if its channel says so."),
    ] = None
    other_ids: Annotated[
        tuple[EventIdField, ...] | None,
        Field(
            description="Ids that the rating would have by its client's other keys, such as an "
            "Idempotency-Key beside a client_ref: no other rating may have them."
        ),
    ] = None


class FeedbackConflicted(EventData):
    """The same idempotency key came again with other content; the first one in the stream stands."""

    unit_id: Annotated[UnitIdField, Field(description="Unit named by the first submission.")]
    channel: Annotated[Channel, Field(description="Channel whose key was used twice.")]
    city: Annotated[CityCode, Field(description="Prefecture of the first submission, or 'all'.")]
    county: Annotated[CountyCode, Field(description="County of the first submission, or 'all'.")]
    first_event_id: Annotated[EventIdField, Field(description="Event that stands.")]
    first_digest: Annotated[KeyedHmac, Field(description="Digest of the content that stands.")]
    other_digest: Annotated[KeyedHmac, Field(description="Digest of the content that was refused.")]


class CountedFields(EventData):
    """Everything of one rating that rankings count by: enough to take it out of them, and to put it in."""

    unit_id: Annotated[UnitIdField, Field(description="Opaque id of the rated unit.")]
    grade: Annotated[GradeValue, Field(description="5 very satisfied … 1 very dissatisfied.")]
    dimensions: Annotated[DimensionGrades | None, Field(description="Sub-grades, where given.")] = None
    source: Annotated[Source, Field(description="One of the five sources of appraisal.")]
    channel: Annotated[Channel, Field(description="Channel that the rating came through.")]
    verification: Annotated[
        Verification, Field(description="How far the rater is verified; sets the weight.")
    ]
    citizen_hmac: Annotated[KeyedHmac | None, Field(description="Pseudonym of the citizen.")] = None
    device_hmac: Annotated[KeyedHmac | None, Field(description="Fingerprint of the device.")] = None
    address_hmac: Annotated[KeyedHmac | None, Field(description="Fingerprint of the network address.")] = None
    transaction_hmac: Annotated[
        KeyedHmac | None, Field(description="Pseudonym of the transaction; on a ballot, of its unit.")
    ] = None
    text_hmac: Annotated[KeyedHmac | None, Field(description="Fingerprint of the normalised text.")] = None
    occurred_at: Annotated[Instant, Field(description="When the service was rated; picks the day.")]
    received_at: Annotated[Instant, Field(description="When intake received the rating; sets its lateness.")]
    synthetic: Annotated[bool, Field(description="Probe or drill: never counted.")] = False
    aliases: Aliases = None


class FeedbackRevision(EventData):
    """What the six events have in common that change what became of one rating (ADR 0013).

    A rating's revisions are 1, 2, 3 … without a gap; intake gives the numbers. The highest one is in force,
    in whatever order they arrive, before the rating itself too. The event's id belongs to ``target_id`` and
    ``target_revision``, so of two events that claim the same revision the first in the stream stands.
    """

    target_id: Annotated[EventIdField, Field(description="Id of the FeedbackSubmitted event.")]
    target_revision: Annotated[Ordinal, Field(description="1 for the rating's first revision, then 2, 3 …")]
    target: Annotated[
        CountedFields, Field(description="The rating's fields as they were in force before this event.")
    ]
    submitted: Annotated[
        CountedFields | None,
        Field(description="As they were submitted, where a correction has changed them since; else null."),
    ] = None
    city: Annotated[CityCode, Field(description="Prefecture that the rating was submitted for, or 'all'.")]
    county: Annotated[CountyCode, Field(description="County that the rating was submitted for, or 'all'.")]
    decided_by: Annotated[
        str | None,
        Field(
            description="Role or credential that decided, never a person's name; null: the citizen.",
            pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
        ),
    ] = None
    requested_by: Annotated[
        str | None,
        Field(
            description="Role or credential that had asked for it, where it takes two people.",
            pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
        ),
    ] = None
    approval_id: Annotated[
        EventIdField | None, Field(description="ApprovalRequested event that it rests on, if any.")
    ] = None
    request_hmac: Annotated[
        KeyedHmac | None, Field(description="Pseudonym of the request's Idempotency-Key, where it had one.")
    ] = None
    digest: Annotated[
        KeyedHmac, Field(description="HMAC over the request's own fields: decides 'same' or 'different'.")
    ]


class FeedbackCorrected(FeedbackRevision):
    """A counted rating had been taken down wrongly; other fields are in force from now on.

    Grade, sub-grades and unit can change. Time, channel, citizen and transaction stay as they were.
    """

    reason: Annotated[CorrectionReason, Field(description="Why; one of a closed list.")]
    corrected: Annotated[CountedFields, Field(description="The rating's fields from now on.")]


class FeedbackWithdrawn(FeedbackRevision):
    """The citizen took the rating back, with the receipt's code. Final: it never counts again."""

    reason: Annotated[WithdrawalReason, Field(description="Why; one of a closed list.")]


class FeedbackExcluded(FeedbackRevision):
    """After review a rating does not count. It stays visible, and an appeal can reinstate it."""

    reason: Annotated[ExclusionReason, Field(description="Why; one of a closed list.")]


class FeedbackReinstated(FeedbackRevision):
    """An excluded rating counts again."""

    reason: Annotated[ReinstatementReason, Field(description="Why; one of a closed list.")]


class FeedbackQuarantined(FeedbackRevision):
    """A suspicious rating is held: not counted until somebody releases or excludes it."""

    reason: Annotated[QuarantineReason, Field(description="Why; one of a closed list.")]
    cluster: Annotated[
        str | None,
        Field(
            description="What screening holds it with: opaque, the same for one unit, cause and day; "
            "null where a person decided.",
            pattern=r"^[a-z_]{1,16}-[0-9a-f]{16}$",
        ),
    ] = None


class FeedbackReleased(FeedbackRevision):
    """A held rating was found to be sound and counts again."""

    reason: Annotated[ReleaseReason, Field(description="Why; one of a closed list.")]
