"""Facts about the audit log itself. Stream ``AUDIT``, producer archive.

The log announces the order of its entries before it signs them, and tells what it signed, so that subscribers
hold both: a database that was set back is brought to the very same tree again (ADR 0018).
"""

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


Origin = Annotated[str, Field(description="Name of the log, as in its checkpoints.", max_length=128)]
RootHash = Annotated[
    str, Field(description="Root of the Merkle tree of `size` leaves, hex.", pattern="^[0-9a-f]{64}$")
]


class SequencedRun(EventData):
    """Messages of one stream with contiguous sequences that follow one another in the log."""

    stream: Annotated[str, Field(description="Stream of the messages.", max_length=64)]
    first: Annotated[int, Field(description="Sequence of the first one.", ge=1)]
    last: Annotated[int, Field(description="Sequence of the last one.", ge=1)]


class BatchSequenced(EventData):
    """The log fixed the order of its entries from `first_index` up to `size`; said before they are signed.

    Fetching the runs by sequence, in this order, and hashing them gives `root` again.
    """

    origin: Origin
    first_index: Annotated[int, Field(description="Index of the first entry announced here.", ge=0)]
    size: Annotated[int, Field(description="Entries of the log up to the end of the last run.", ge=1)]
    runs: Annotated[
        tuple[SequencedRun, ...], Field(description="What the entries are, in the order of the log.")
    ]
    root: RootHash


class CheckpointSigned(EventData):
    """The log signed its head; keep `note`: it proves later that nothing before it was changed."""

    origin: Origin
    size: Annotated[int, Field(description="Entries that the checkpoint covers.", ge=1)]
    root: RootHash
    note: Annotated[
        str,
        Field(description="The checkpoint as a C2SP signed note, with its final newline.", max_length=4096),
    ]
    previous_size: Annotated[int, Field(description="Size of the checkpoint before; 0 for the first.", ge=0)]
