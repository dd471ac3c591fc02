"""The tree against the vectors of RFC 6962, another implementation, and every small tree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree, verify_consistency

from services.archive.domain import merkle
from services.archive.domain.merkle import Frontier
from shared.kernel.errors import InvalidValueError

LEAVES = tuple(
    bytes.fromhex(leaf)
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
)
ROOTS = tuple(
    bytes.fromhex(root)
    for root in (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
)
_A = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
_B = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
_C = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
_D = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
_E = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
_F = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
INCLUSION = (
    (0, 1, ()),
    (0, 8, (_A, _B, _C)),
    (5, 8, (_D, _E, ROOTS[4].hex())),
    (2, 3, (ROOTS[2].hex(),)),
    (1, 5, (ROOTS[1].hex(), _B, _D)),
)
CONSISTENCY = (
    (1, 1, ()),
    (1, 8, (_A, _B, _C)),
    (6, 8, (_F, _E, ROOTS[4].hex())),
    (2, 5, (_B, _D)),
)
SIZE = 70
"""All pairs of sizes up to here are tried: beyond a power of two and its neighbours nothing new happens."""
HASHES = [merkle.leaf_hash(bytes([number])) for number in range(SIZE)]
ALL_ROOTS = [merkle.root(HASHES[:size]) for size in range(SIZE + 1)]


def node(level: int, index: int) -> bytes:
    """A complete subtree of HASHES, worked out from its leaves."""
    return merkle.root(HASHES[index << level : (index + 1) << level])


def other_tree(size: int) -> InmemoryTree:
    tree = InmemoryTree(algorithm="sha256")
    for number in range(size):
        tree.append_entry(bytes([number]))
    return tree


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_the_reference(size: int) -> None:
    assert merkle.root(map(merkle.leaf_hash, LEAVES[:size])) == ROOTS[size]


@pytest.mark.parametrize(("index", "size", "path"), INCLUSION)
def test_inclusion_proofs_are_those_of_the_reference(index: int, size: int, path: tuple[str, ...]) -> None:
    hashes = list(map(merkle.leaf_hash, LEAVES))
    found = merkle.inclusion_path(
        index, size, lambda level, place: merkle.root(hashes[place << level : (place + 1) << level])
    )
    assert [piece.hex() for piece in found] == list(path)
    assert merkle.verify_inclusion(hashes[index], index, size, found, ROOTS[size])


@pytest.mark.parametrize(("first", "second", "path"), CONSISTENCY)
def test_consistency_proofs_are_those_of_the_reference(
    first: int, second: int, path: tuple[str, ...]
) -> None:
    hashes = list(map(merkle.leaf_hash, LEAVES))
    found = merkle.consistency_path(
        first, second, lambda level, place: merkle.root(hashes[place << level : (place + 1) << level])
    )
    assert [piece.hex() for piece in found] == list(path)
    assert merkle.verify_consistency(first, second, ROOTS[first], ROOTS[second], found)


def test_roots_and_inclusion_proofs_are_those_of_another_implementation() -> None:
    tree = other_tree(SIZE)
    for size in range(1, SIZE + 1):
        assert tree.get_root(size) == ALL_ROOTS[size]
        for index in range(size):
            theirs = tree.prove_inclusion(index + 1, size).serialize()[
                "path"
            ]  # from 1 on, and the leaf first
            assert theirs[1:] == [piece.hex() for piece in merkle.inclusion_path(index, size, node)]


def test_consistency_is_proved_both_ways_between_the_roots_of_another_implementation() -> None:
    """Its consistency proofs have a form of their own: each side checks its own by the other's roots."""
    tree = other_tree(SIZE)
    for first in range(1, SIZE + 1):
        path = merkle.consistency_path(first, SIZE, node)
        assert merkle.verify_consistency(first, SIZE, tree.get_root(first), tree.get_root(SIZE), path)
        verify_consistency(ALL_ROOTS[first], ALL_ROOTS[SIZE], tree.prove_consistency(first, SIZE))


def test_every_leaf_of_every_small_tree_is_proved_and_nothing_else() -> None:
    for size in range(1, SIZE + 1):
        for index in range(size):
            path = merkle.inclusion_path(index, size, node)
            assert merkle.verify_inclusion(HASHES[index], index, size, path, ALL_ROOTS[size])
            assert not merkle.verify_inclusion(
                HASHES[index], index, size, [*path, HASHES[0]], ALL_ROOTS[size]
            )
            assert not merkle.verify_inclusion(
                HASHES[index], (index + 1) % size, size, path, ALL_ROOTS[size]
            ) or (size == 1)
            assert not path or not merkle.verify_inclusion(
                HASHES[index], index, size, path[:-1], ALL_ROOTS[size]
            )
            assert not merkle.verify_inclusion(ALL_ROOTS[0], index, size, path, ALL_ROOTS[size])


def test_every_small_tree_is_proved_to_begin_with_every_smaller_one_and_with_no_other() -> None:
    for second in range(SIZE + 1):
        for first in range(second + 1):
            path = merkle.consistency_path(first, second, node)
            assert merkle.verify_consistency(first, second, ALL_ROOTS[first], ALL_ROOTS[second], path)
            other = merkle.leaf_hash(b"another log")
            assert not merkle.verify_consistency(first, second, other, ALL_ROOTS[second], path)
            assert not merkle.verify_consistency(
                first, second, ALL_ROOTS[first], ALL_ROOTS[second], [*path, other]
            )
            if first:
                assert not merkle.verify_consistency(first, second, ALL_ROOTS[first], other, path)
                assert not path or not merkle.verify_consistency(
                    first, second, ALL_ROOTS[first], ALL_ROOTS[second], path[1:]
                )


@given(st.integers(0, SIZE), st.integers(0, SIZE))
def test_a_frontier_goes_on_from_the_subtrees_of_its_size(first: int, more: int) -> None:
    size = min(first + more, SIZE)
    frontier = Frontier.at(first, node)
    before = frontier.copy()
    assert frontier.root() == ALL_ROOTS[first]
    frontier.extend(HASHES[first:size])
    assert (frontier.size, frontier.root()) == (max(first, size), ALL_ROOTS[max(first, size)])
    assert Frontier(frontier.size, frontier.hashes).root() == frontier.root()
    assert before.root() == ALL_ROOTS[first]


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_a_span_is_covered_without_holes_by_few_aligned_subtrees(first: int, count: int) -> None:
    places = merkle.span(first, first + count)
    at = first
    for level, index in places:
        assert index << level == at
        at += 1 << level
    assert at == first + count
    assert len(places) <= 2 * max(1, count.bit_length())


def test_a_proof_in_a_tree_of_ten_millions_touches_few_subtrees() -> None:
    pieces = merkle.inclusion_places(1_234_567, 10_000_000)
    assert len(pieces) <= 24
    assert sum(map(len, pieces)) < 64


def test_what_does_not_exist_is_refused_with_the_reason() -> None:
    with pytest.raises(InvalidValueError, match="index from 0 to 4"):
        merkle.inclusion_path(5, 5, node)
    with pytest.raises(InvalidValueError, match="a log with entries"):
        merkle.inclusion_path(0, 0, node)
    with pytest.raises(InvalidValueError, match="older tree's size first"):
        merkle.consistency_path(3, 2, node)
    with pytest.raises(InvalidValueError, match="one hash for each bit"):
        Frontier(3, [HASHES[0]])
    assert not merkle.verify_inclusion(HASHES[0], 1, 1, [], HASHES[0])
    assert not merkle.verify_consistency(2, 1, HASHES[0], HASHES[0], [])
