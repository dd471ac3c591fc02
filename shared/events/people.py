"""Facts about who looked at, or destroyed, what the vault keeps of a citizen. Stream ``AUDIT``, from intake.

No field here may carry an identity: a rating is named by the id of its event, a record of the vault by its
random name, staff by account or post. The state of each unmasking is the fold of its events (ADR 0032).
"""

from typing import Annotated, Literal

from pydantic import Field

from shared.events.base import CityCode, CountyCode, EventData, EventIdField, Instant, UnitIdField
from shared.kernel.people_reasons import ErasureReason, UnmaskReason

Actor = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Part = Literal["text", "contact"]
Parts = Annotated[
    tuple[Part, ...], Field(description="What is asked for: the text, the contact, or both.", min_length=1)
]


class _OfUnmasking(EventData):
    """What the events of one unmasking have in common."""

    request_id: Annotated[EventIdField, Field(description="Names the unmasking; its events share it.")]
    target_id: Annotated[EventIdField, Field(description="Id of the rating's FeedbackSubmitted event.")]
    unit_id: Annotated[UnitIdField, Field(description="Unit that is rated; it can't have a part in this.")]
    city: Annotated[CityCode, Field(description="Prefecture of the rating, or 'all'.")]
    county: Annotated[CountyCode, Field(description="County of the rating, or 'all'.")]


class UnmaskingRequested(_OfUnmasking):
    """Somebody asks to read a text or a contact; nothing is shown before a second person agrees."""

    reason: Annotated[UnmaskReason, Field(description="Why; one of a closed list.")]
    parts: Parts
    requested_by: Annotated[Actor, Field(description="Account or post that asks, never a person's name.")]
    expires_at: Annotated[Instant, Field(description="Until when a second person may decide.")]


class UnmaskingDecided(_OfUnmasking):
    """A second person decided about an unmasking. Of several decisions the first in the stream stands."""

    approved: Annotated[bool, Field(description="False: refused, for good.")]
    decided_by: Annotated[Actor, Field(description="Account or post that decided; not the one that asked.")]
    expires_at: Annotated[Instant, Field(description="Until when it may be read, if it was approved.")]


class IdentityUnmasked(_OfUnmasking):
    """Text or contact of a rating are about to be shown; published before they are, without what they say."""

    reason: Annotated[UnmaskReason, Field(description="Why; as it was asked for.")]
    parts: Parts
    shown_to: Annotated[Actor, Field(description="Account or post that reads.")]
    approved_by: Annotated[Actor, Field(description="Account or post that agreed.")]


class IdentityErased(EventData):
    """The key of a text, and the contact with it, are destroyed: nobody can read them any more.

    Published before the deletion, which is repeated until it is done: also where a backup brings the record
    back. The rating itself, its grade and every proof stay.
    """

    record: Annotated[str, Field(description="Name of the vault's record; opaque.", pattern="^[0-9a-f]{32}$")]
    target_id: Annotated[
        EventIdField | None,
        Field(description="Id of the rating's FeedbackSubmitted event; null: the record was named alone."),
    ] = None
    city: Annotated[CityCode, Field(description="Prefecture of the rating, or 'all'.")]
    county: Annotated[CountyCode, Field(description="County of the rating, or 'all'.")]
    reason: Annotated[ErasureReason, Field(description="Why; one of a closed list.")]
    erased_by: Annotated[
        Actor | None, Field(description="Account or post that decided; null: the citizen, by the receipt.")
    ] = None
