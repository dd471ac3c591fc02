import uuid

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.kernel.errors import InvalidValueError
from shared.kernel.ids import RANDOM_BYTES, derived_id, is_uuid, uuid7

milliseconds = st.integers(0, 2**48 - 1)
noise = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)
anything = st.text(st.characters(exclude_categories=()))  # lone surrogates too


@given(milliseconds, noise)
def test_uuid7_has_version_variant_and_time_of_the_standard(now_ms: int, rand: bytes) -> None:
    parsed = uuid.UUID(uuid7(now_ms, rand))
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert parsed.int >> 80 == now_ms


def test_uuid7_matches_the_example_of_rfc_9562() -> None:
    # Appendix A.6: time 017F22E279B0, rand_a CC3, rand_b 18C4DC0C0C07398F
    rand = ((0xCC3 << 62) | (0x18C4DC0C0C07398F & ((1 << 62) - 1))).to_bytes(10, "big")
    assert uuid7(0x017F22E279B0, rand) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@given(milliseconds, milliseconds, noise, noise)
def test_ids_of_later_milliseconds_sort_after_earlier_ones(a: int, b: int, x: bytes, y: bytes) -> None:
    assume(a < b)
    assert uuid7(a, x) < uuid7(b, y)


@given(milliseconds, noise, noise)
def test_randomness_of_74_bits_tells_ids_of_one_millisecond_apart(now_ms: int, x: bytes, y: bytes) -> None:
    same = int.from_bytes(x, "big") % 2**74 == int.from_bytes(y, "big") % 2**74
    assert (uuid7(now_ms, x) == uuid7(now_ms, y)) == same


@pytest.mark.parametrize(
    ("now_ms", "rand"), [(-1, bytes(10)), (2**48, bytes(10)), (0, bytes(9)), (0, bytes(11))]
)
def test_uuid7_rejects_what_does_not_fit(now_ms: int, rand: bytes) -> None:
    with pytest.raises(InvalidValueError, match="expected"):
        uuid7(now_ms, rand)


@given(st.lists(anything, min_size=1))
def test_derived_id_is_a_uuid8_and_the_same_every_time(parts: list[str]) -> None:
    parsed = uuid.UUID(derived_id(*parts))
    assert (parsed.version, parsed.variant) == (8, uuid.RFC_4122)
    assert derived_id(*parts) == str(parsed)


@given(st.lists(anything, min_size=1), st.lists(anything, min_size=1))
def test_different_parts_give_different_ids(a: list[str], b: list[str]) -> None:
    assert (derived_id(*a) == derived_id(*b)) == (a == b)


def test_derived_id_keeps_the_boundaries_of_its_parts() -> None:
    assert len({derived_id("ab", "c"), derived_id("a", "bc"), derived_id("abc"), derived_id("abc", "")}) == 4


def test_derived_id_stays_the_same_over_releases() -> None:
    # Written down once: ids in the streams depend on it for ever.
    assert derived_id("alert", "bad_review", "南昌县") == "a164d33d-1149-8320-8bea-86ab38615b85"


def test_derived_id_needs_a_part() -> None:
    with pytest.raises(InvalidValueError, match="natural key"):
        derived_id()


@given(milliseconds, noise)
def test_made_ids_are_canonical_uuids(now_ms: int, rand: bytes) -> None:
    assert is_uuid(uuid7(now_ms, rand))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "017F22E2-79B0-7CC3-98C4-DC0C0C07398F",
        "017f22e279b07cc398c4dc0c0c07398f",
        "{017f22e2}",
        " \n",
    ],
)
def test_other_spellings_are_no_canonical_uuid(text: str) -> None:
    assert not is_uuid(text)


def test_trailing_newline_is_no_canonical_uuid() -> None:
    assert not is_uuid("017f22e2-79b0-7cc3-98c4-dc0c0c07398f\n")
