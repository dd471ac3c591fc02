"""Portions 分批: a publication that is too large for one batch, as several that leave nothing half.

Each list goes whole into one portion, and the books close the last one. Until then they stand as they stood,
with a note of what is under way: every portion replaces them, so each is fenced against any other writer
like a publication in one batch is (ADR 0035).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from services.scoring.application.ports import MOST_KEYS
from services.scoring.application.published import BOOKS_KEY

MOST_BYTES: Final = 64 * 1024 * 1024
"""Of one portion: the broker stages a batch and answers only when all of it is on its disk."""
_LIST_DOTS: Final = 2


@dataclass(slots=True)
class Portion:
    """What one commit writes; see `RankingStore.commit`."""

    fenced: dict[str, bytes] = field(default_factory=dict)
    others: dict[str, bytes] = field(default_factory=dict)
    size: int = 0

    def has_room(self, keys: int, size: int, most_keys: int, most_bytes: int) -> bool:
        """Whether so many more keys of ``size`` bytes in all fit; whatever is alone does."""
        used = len(self.fenced) + len(self.others)
        return not used or (used + keys <= most_keys and self.size + size <= most_bytes)


def portions(
    fenced: Mapping[str, bytes],
    others: Mapping[str, bytes],
    under_way: bytes,
    *,
    most_keys: int = MOST_KEYS,
    most_bytes: int = MOST_BYTES,
) -> list[Portion]:
    """Divide a publication, in the order in which it is to be written.

    Args:
        fenced: heads by key, and the books.
        others: pages, and what was announced.
        under_way: the books' value in every portion but the last.
        most_keys: keys of one portion.
        most_bytes: of its values; one list that is larger by itself is one portion all the same.

    Returns:
        One portion if all of it fits. A list of more pages than a portion has keys is the one thing that is
        divided: its head goes last, so whoever reads it meanwhile sees that it is not whole.
    """
    whole = Portion(dict(fenced), dict(others), _size(fenced) + _size(others))
    if len(fenced) + len(others) <= most_keys and whole.size <= most_bytes:
        return [whole]
    found = [Portion()]
    most = most_keys - 1  # the books are in each
    for heads, pages in _groups(fenced, others, most):
        size = _size(heads) + _size(pages)
        if not found[-1].has_room(len(heads) + len(pages), size, most, most_bytes):
            found.append(Portion())
        found[-1].fenced.update(heads)
        found[-1].others.update(pages)
        found[-1].size += size
    for portion in found[:-1]:
        portion.fenced[BOOKS_KEY] = under_way
    found[-1].fenced[BOOKS_KEY] = fenced[BOOKS_KEY]
    return found


def _groups(
    fenced: Mapping[str, bytes], others: Mapping[str, bytes], most: int
) -> Iterator[tuple[dict[str, bytes], dict[str, bytes]]]:
    """Yield what belongs into one portion: each list, then each other key."""
    pages: dict[str, dict[str, bytes]] = {key: {} for key in fenced if key != BOOKS_KEY}
    rest: dict[str, bytes] = {}
    for key, value in others.items():
        head = ".".join(key.split(".")[: _LIST_DOTS + 1])
        pages.get(head, rest)[key] = value
    for head, own in pages.items():
        keys = list(own)
        while len(keys) >= most:
            yield {}, {key: own[key] for key in keys[:most]}
            del keys[:most]
        yield {head: fenced[head]}, {key: own[key] for key in keys}
    # Last, with the books: what was announced is announced again if it is not known to have been said.
    for key, value in rest.items():
        yield {}, {key: value}


def _size(entries: Mapping[str, bytes]) -> int:
    return sum(map(len, entries.values()))
