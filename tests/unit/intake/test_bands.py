"""What bands are hashed of: the form is that of bands in streams that are kept, so it must never change."""

import pytest

from services.intake.domain.similarity import SIGNATURE, band_values


@pytest.mark.parametrize("unit_id", ["U000112", "100%d", "县-1"])
def test_each_band_is_its_number_its_unit_and_three_numbers_of_the_signature(unit_id: str) -> None:
    signature = tuple(range(4_294_967_270, 4_294_967_270 + SIGNATURE))
    expected = [
        f"{band}\0{unit_id}\0({first}, {first + 1}, {first + 2})".encode()
        for band, first in enumerate(range(4_294_967_270, 4_294_967_270 + SIGNATURE, 3))
    ]
    assert band_values(unit_id, signature) == expected
