"""MinHash signatures of texts, by Rensa: nearly the same texts get partly the same numbers.

Chinese is written without blanks, so a text is the set of its runs of three characters. Of two texts that
share three quarters of these, three numbers in four are equal.
"""

from typing import Final

from rensa import RMinHash

from services.intake.domain.similarity import SIGNATURE
from shared.kernel.plain_text import comparable

GRAM: Final = 3
_SEED: Final = 20260101
"""Of Rensa's permutations; with another one no text would be like those before."""


class MinHashSketcher:
    """Plays `ports.Sketcher`."""

    def signature(self, text: str, min_chars: int) -> tuple[int, ...] | None:
        """See `ports.Sketcher.signature`."""
        core = comparable(text)
        if len(core) < max(min_chars, GRAM):
            return None
        sketch = RMinHash(num_perm=SIGNATURE, seed=_SEED)
        sketch.update([core[start : start + GRAM] for start in range(len(core) - GRAM + 1)])
        return tuple(sketch.digest())
