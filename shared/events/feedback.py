"""Facts about citizens' feedback. Stream ``FEEDBACK``, producer intake. Never public.

No field here may carry an identity: people, devices, addresses and transactions appear as keyed HMACs
(``<key id>.<32 hex digits>``), free text appears sealed (ADR 0007).
"""

from typing import Annotated

from pydantic import Field

from shared.events.base import CityCode, CountyCode, EventData, EventIdField, UnitIdField
from shared.kernel.grades import Channel, Level, Source, Verification

KeyedHmac = Annotated[str, Field(pattern=r"^[a-z0-9]{1,16}\.[0-9a-f]{32}$")]
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
    transaction_hmac: Annotated[KeyedHmac | None, Field(description="Pseudonym of the transaction.")] = None
    text_hmac: Annotated[KeyedHmac | None, Field(description="Fingerprint of the normalised text.")] = None
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


class FeedbackConflicted(EventData):
    """The same idempotency key came again with other content; the first one in the stream stands."""

    unit_id: Annotated[UnitIdField, Field(description="Unit named by the first submission.")]
    channel: Annotated[Channel, Field(description="Channel whose key was used twice.")]
    city: Annotated[CityCode, Field(description="Prefecture of the first submission, or 'all'.")]
    county: Annotated[CountyCode, Field(description="County of the first submission, or 'all'.")]
    first_event_id: Annotated[EventIdField, Field(description="Event that stands.")]
    first_digest: Annotated[KeyedHmac, Field(description="Digest of the content that stands.")]
    other_digest: Annotated[KeyedHmac, Field(description="Digest of the content that was refused.")]
