"""The Merkle tree over the log's leaves, as RFC 6962 (and RFC 9162) has it. Pure; no storage, no log format.

``leaf hash = SHA-256(0x00 || leaf)``, ``node hash = SHA-256(0x01 || left || right)``. A tree of ``n``
leaves splits at the largest power of two below ``n``, so it consists of complete subtrees (their sizes are
the bits of ``n``) that are never computed again once they are full. Proofs are computed from those through
a callback, so that whoever keeps them (tiles in a database, a list in a test) need not hand over the tree.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final

from shared.kernel.errors import InvalidValueError

HASH_BYTES: Final = 32
LEAF_PREFIX: Final = b"\x00"
NODE_PREFIX: Final = b"\x01"
EMPTY_ROOT: Final = sha256(b"").digest()
"""Root of the tree without leaves."""

Place = tuple[int, int]
"""Level and index of a complete subtree: the ``2**level`` leaves from ``index * 2**level`` on."""
NodeAt = Callable[[int, int], bytes]
"""Gives the hash of the complete subtree at a level and index; level 0 are the leaf hashes."""


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256 of 0x00 and the leaf's bytes."""
    return sha256(LEAF_PREFIX + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256 of 0x01 and the hashes of both children."""
    return sha256(NODE_PREFIX + left + right).digest()


class Frontier:
    """The right edge of a growing tree: all that is needed to append leaves and to know the root.

    At most one hash per level, so memory is logarithmic. Not thread-safe.
    """

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        """Take up a tree of ``size`` leaves from the ``hashes`` of its complete subtrees, the largest first.

        Raises:
            InvalidValueError: ``hashes`` are not as many as ``size`` has bits set.
        """
        if size < 0 or len(hashes) != size.bit_count():
            raise InvalidValueError(
                (size, len(hashes)),
                "a size from 0 on, and one hash for each bit that is set in it",
                "give the hashes at edge(size), the largest subtree first",
            )
        self._size = size
        self._hashes = list(hashes)

    @classmethod
    def at(cls, size: int, node: NodeAt) -> "Frontier":
        """The frontier of the first ``size`` leaves of a tree whose complete subtrees ``node`` gives."""
        return cls(size, [node(level, index) for level, index in edge(size)])

    @property
    def size(self) -> int:
        """How many leaves were appended."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """Hashes of the complete subtrees at :func:`edge`, the largest first."""
        return tuple(self._hashes)

    def append(self, leaf_hash: bytes) -> None:
        """Add one leaf at the end. Two hashes on average, however large the tree."""
        hashes, carry = self._hashes, self._size
        while carry & 1:
            leaf_hash = sha256(NODE_PREFIX + hashes.pop() + leaf_hash).digest()
            carry >>= 1
        hashes.append(leaf_hash)
        self._size += 1

    def extend(self, leaf_hashes: Iterable[bytes]) -> None:
        """Add leaves at the end, in order."""
        for hashed in leaf_hashes:
            self.append(hashed)

    def root(self) -> bytes:
        """Root of the tree so far; :data:`EMPTY_ROOT` before the first leaf."""
        return _folded(self._hashes)

    def copy(self) -> "Frontier":
        """A frontier of its own with the same leaves."""
        return Frontier(self._size, self._hashes)


def root(leaf_hashes: Iterable[bytes]) -> bytes:
    """Root of the tree over ``leaf_hashes``."""
    frontier = Frontier()
    frontier.extend(leaf_hashes)
    return frontier.root()


def edge(size: int) -> list[Place]:
    """Complete subtrees that a tree of ``size`` leaves consists of, left to right (largest first)."""
    return span(0, size)


def span(first: int, end: int) -> list[Place]:
    """Complete subtrees that cover the leaves from ``first`` up to, not with, ``end``, from left to right."""
    places: list[Place] = []
    while first < end:
        fits = (end - first).bit_length() - 1
        level = min(fits, (first & -first).bit_length() - 1) if first else fits
        places.append((level, first >> level))
        first += 1 << level
    return places


def inclusion_places(index: int, size: int) -> list[list[Place]]:
    """What the inclusion proof of leaf ``index`` in the tree of ``size`` leaves consists of, leaf to root.

    Returns:
        For each hash of the proof, the complete subtrees that it is folded from, left to right.

    Raises:
        InvalidValueError: no such leaf.
    """
    if not 0 <= index < size:
        raise InvalidValueError(
            index,
            f"an index from 0 to {size - 1}" if size else "a log with entries",
            "ask for one that exists",
        )
    first, end = 0, size
    places: list[list[Place]] = []
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            places.append(span(middle, end))
            end = middle
        else:
            places.append(span(first, middle))
            first = middle
    return places[::-1]


def consistency_places(first_size: int, second_size: int) -> list[list[Place]]:
    """What the proof consists of that the tree of ``second_size`` leaves begins with that of ``first_size``.

    Empty if the first is empty or both are equal.

    Returns:
        As :func:`inclusion_places`.

    Raises:
        InvalidValueError: sizes are negative or in the wrong order.
    """
    if not 0 <= first_size <= second_size:
        raise InvalidValueError(
            (first_size, second_size), "0 <= first <= second", "give the older tree's size first"
        )
    if first_size == 0:
        return []
    start, end = 0, second_size
    places: list[list[Place]] = []
    while end != first_size:
        middle = start + _split(end - start)
        if first_size <= middle:
            places.append(span(middle, end))
            end = middle
        else:
            places.append(span(start, middle))
            start = middle
    if start:  # else the old root itself is the first piece, which whoever verifies has
        places.append(span(start, end))
    return places[::-1]


def inclusion_path(index: int, size: int, node: NodeAt) -> list[bytes]:
    """The inclusion proof of leaf ``index`` in the tree of ``size`` leaves, leaf to root (RFC 6962, 2.1.1).

    Raises:
        InvalidValueError: no such leaf.
    """
    return _hashes_at(inclusion_places(index, size), node)


def consistency_path(first_size: int, second_size: int, node: NodeAt) -> list[bytes]:
    """The proof that the second tree begins with the first (RFC 6962, 2.1.2).

    Raises:
        InvalidValueError: sizes are negative or in the wrong order.
    """
    return _hashes_at(consistency_places(first_size, second_size), node)


def verify_inclusion(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether ``path`` proves that the leaf stands at ``index`` of the tree (RFC 9162, 2.1.3.2).

    Never raises: a path of the wrong length, an index beyond the tree prove nothing.
    """
    if not 0 <= index < size:
        return False
    place, last, hashed = index, size - 1, leaf_hash
    for sibling in path:
        if last == 0:
            return False
        if place & 1 or place == last:
            hashed = node_hash(sibling, hashed)
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            hashed = node_hash(hashed, sibling)
        place >>= 1
        last >>= 1
    return last == 0 and hashed == root


def verify_consistency(
    first_size: int, second_size: int, first_root: bytes, second_root: bytes, path: Sequence[bytes]
) -> bool:
    """Whether ``path`` proves that the second tree begins with the first (RFC 9162, 2.1.4.2).

    Never raises, as :func:`verify_inclusion`.
    """
    if not 0 <= first_size <= second_size:
        return False
    if first_size == 0:
        return not path and first_root == EMPTY_ROOT
    if first_size == second_size:
        return not path and first_root == second_root
    hashes = list(path)
    if first_size & (first_size - 1) == 0:
        hashes.insert(
            0, first_root
        )  # the old root is a complete subtree of the new tree, and left out of the path
    return bool(hashes) and _roots_from(hashes, first_size, second_size) == (first_root, second_root)


def _roots_from(hashes: list[bytes], first_size: int, second_size: int) -> tuple[bytes, bytes] | None:
    """Both roots that a consistency proof leads to; None if it has too few or too many hashes."""
    place, last = first_size - 1, second_size - 1
    while place & 1:
        place >>= 1
        last >>= 1
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return None
        if place & 1 or place == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        place >>= 1
        last >>= 1
    return (old, new) if last == 0 else None


def _split(count: int) -> int:
    """The largest power of two below ``count`` (at least 2)."""
    return 1 << ((count - 1).bit_length() - 1)


def _folded(hashes: Sequence[bytes]) -> bytes:
    """The hash over neighbouring subtrees that get smaller from left to right."""
    if not hashes:
        return EMPTY_ROOT
    folded = hashes[-1]
    for left in reversed(hashes[:-1]):
        folded = node_hash(left, folded)
    return folded


def _hashes_at(places: list[list[Place]], node: NodeAt) -> list[bytes]:
    return [_folded([node(level, index) for level, index in piece]) for piece in places]
