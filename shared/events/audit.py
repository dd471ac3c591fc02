"""Facts about the audit log itself. Stream ``AUDIT``, producer archive."""

from typing import Annotated, Literal

from pydantic import Field

from shared.events.base import EventData

StreamName = Annotated[str, Field(min_length=1, max_length=64, description="Archived stream, 'FEEDBACK'.")]
Sequence = Annotated[int, Field(ge=0)]

DivergenceKind = Literal["lost_in_stream", "missing_in_archive", "other_bytes", "front_lost", "went_back"]


class StreamDiverged(EventData):
    """Stream and archive were found to hold different things, or to agree again.

    Expiry at the front of a stream is normal and never reported. Sequences are the archive's numbering, which
    is the stream's own until an operator has accepted another history (``StreamHistoryAccepted``).
    """

    stream: StreamName
    kind: Annotated[
        DivergenceKind,
        Field(
            description="lost_in_stream: archived, but gone from the stream's middle or end; "
            "missing_in_archive: in the stream, never archived; other_bytes: both have the sequence, with "
            "different bodies; front_lost: gone at the stream's front before it was old enough to expire; "
            "went_back: the stream ends before what is archived or has another body there, and is not "
            "archived any more."
        ),
    ]
    raised: Annotated[bool, Field(description="True: found; false: both agree again.")]
    first: Annotated[Sequence, Field(description="Lowest sequence concerned.")]
    last: Annotated[Sequence, Field(description="Highest sequence concerned.")]
    sequences: Annotated[
        int, Field(description="Sequences known to be concerned; 0 when they agree again.", ge=0)
    ]
    stream_first: Annotated[Sequence, Field(description="First sequence that the stream holds.")]
    stream_last: Annotated[Sequence, Field(description="Last sequence of the stream.")]
    archived_last: Annotated[Sequence, Field(description="Last archived sequence of the stream.")]


class StreamHistoryAccepted(EventData):
    """An operator decided that a stream which had gone back goes on with the history that it has now.

    What both agree on, up to ``fork``, stays as it is archived. A message of the stream behind it is archived
    under its sequence plus ``offset``, so that no archived sequence is ever used again; ``fork + 1`` to
    ``archived_last`` remain in the archive only.
    """

    stream: StreamName
    fork: Annotated[
        Sequence, Field(description="Last sequence of the stream with the archived body; 0: none.")
    ]
    archived_last: Annotated[Sequence, Field(description="Last archived sequence when it was decided.")]
    offset: Annotated[
        int,
        Field(description="Added to the stream's sequences behind `fork`; archived_last - fork.", ge=0),
    ]
    stream_last: Annotated[Sequence, Field(description="Last sequence of the stream when it was decided.")]
    decided_by: Annotated[str, Field(description="Who decided.", min_length=1, max_length=128)]
    reason: Annotated[str, Field(description="Why, in the operator's words.", min_length=1, max_length=1000)]
