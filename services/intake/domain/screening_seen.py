"""What screening looks at of one rating."""

from collections.abc import Sequence
from typing import NamedTuple


class Fingerprints(NamedTuple):
    """What one key makes of a rating: keyed hashes, None where unknown; bands see `similarity`."""

    device: str | None = None
    address: str | None = None
    text: str | None = None
    text_bands: Sequence[str] = ()


class Seen(NamedTuple):
    """What screening looks at of one rating; the fingerprints are keyed hashes, None where unknown.

    Attributes:
        kind: window kind; empty for a bureau.
        received_ms: when it was received, Unix milliseconds.
        text_bands: what it shares with nearly the same texts, see `similarity`; empty for short ones.
        imported: whether it came with a bulk import.
        earlier: its fingerprints under earlier keys that are live still, the oldest key's first; while keys
            are changed, a cluster goes on under the key that it began with.
        by_token: whether a one-time token of ours proved the service; else a channel says so.
    """

    event_id: str
    sequence: int
    unit_id: str
    kind: str
    received_ms: int
    source: str
    channel: str
    verification: str
    device: str | None = None
    address: str | None = None
    text: str | None = None
    text_bands: Sequence[str] = ()
    imported: bool = False
    synthetic: bool = False
    earlier: Sequence[Fingerprints] = ()
    by_token: bool = False
