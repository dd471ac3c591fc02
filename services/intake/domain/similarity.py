"""Bands of a MinHash signature: what nearly the same texts have in common, and nobody can read.

A signature's numbers are taken three by three; each three become one keyed hash, a *band*. Two texts that
share the part J of their runs of characters have a given band in common with the chance J³, and one of the
eight with 1 − (1 − J³)⁸: 8 % at J = 0.22, 65 % at 0.5, 97 % at 0.7 (Leskovec, Rajaraman and Ullman, Mining of
Massive Datasets, ch. 3). The hash covers the unit, too: across units nobody can tell alike texts (ADR 0031).
"""

from typing import Final

ROWS: Final = 3
BANDS: Final = 8
SIGNATURE: Final = ROWS * BANDS
"""Numbers in a signature."""
BAND_BYTES: Final = 6


def band_values(unit_id: str, signature: tuple[int, ...]) -> list[bytes]:
    """What each band's hash is taken of."""
    rows = [signature[start : start + ROWS] for start in range(0, SIGNATURE, ROWS)]
    return [f"{number}\0{unit_id}\0{row}".encode() for number, row in enumerate(rows)]


def split_bands(similarity: str | None) -> tuple[str, ...]:
    """The single bands in an event's ``similarity``; none if it has none."""
    if similarity is None:
        return ()
    digits = similarity.rpartition(".")[2]
    width = 2 * BAND_BYTES
    return tuple(digits[start : start + width] for start in range(0, len(digits), width))
