"""Facts about who read the audit log. Stream ``AUDIT``, producer archive."""

from typing import Annotated, Literal

from pydantic import Field

from shared.events.base import EventData

Reading = Literal["page", "event", "trace", "export"]
Format = Literal["json", "text", "csv", "ndjson"]
Stage = Literal["answered", "begun", "ended"]


class RecordsRead(EventData):
    """Somebody read personal records or exported records in bulk; published before the first of them is sent.

    The conditions and the size of the log tell which records they were: ask again, and the same come. An
    export is told twice, when it begins and when it ends; one that begins and never ends was cut off.
    """

    read: Annotated[
        str, Field(description="Id of this read; an export's two events share it.", max_length=64)
    ]
    actor: Annotated[
        str | None,
        Field(
            description="Account, post or program that asked, as far as known; never a person's name.",
            pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
        ),
    ] = None
    verified: Annotated[bool, Field(description="Whether a credential proved the actor.")]
    what: Annotated[
        Reading,
        Field(description="One page, one event, the trace of a rating, or an export of all that match."),
    ]
    format: Annotated[Format, Field(description="Form that it was answered in.")]
    conditions: Annotated[
        dict[str, str],
        Field(description="What was asked for; values that could be a number of a person are described."),
    ]
    size: Annotated[int, Field(description="Entries in the log as it was read.", ge=0)]
    stage: Annotated[
        Stage, Field(description="answered: all at once; begun and ended: first and last word of an export.")
    ]
    rows: Annotated[
        int | None, Field(description="Entries that were read; null where an export begins.", ge=0)
    ] = None
