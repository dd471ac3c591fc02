"""Facts about the audit log itself. Stream ``AUDIT``, producer archive.

The log announces the order of its entries before it signs them, and tells what it signed, so that subscribers
hold both: a database that was set back is brought to the very same tree again (ADR 0018).
"""

from typing import Annotated

from pydantic import Field

from shared.events.base import EventData

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
