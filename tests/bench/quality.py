"""Quality: how well the ranking ranks, on real ratings, in simulated provinces and under attack.

Nothing here is a rate: the figures are the same on every machine, and go to docs/ranking.md with their plots.
"""

from pathlib import Path
from typing import Final

from tests.bench import simulation
from tests.bench.figures import Section
from tests.bench.report import Place

PLACE: Final = Place(Path("docs/ranking.md"), "quality")


def measure() -> Section:
    """All three measurements; takes about a minute."""
    from tests.bench import split_halves, stuffing  # noqa: PLC0415 - the real ratings are an extra

    halves, foretelling = split_halves.measure()
    stuffed, contained = stuffing.measure()
    return Section(
        "Quality",
        [foretelling, contained],
        comparisons=[halves, *simulation.measure(), *stuffed],
    )


def draw() -> None:
    """Write the plots of docs/ranking.md."""
    from tests.bench import quality_plots  # noqa: PLC0415 - matplotlib only where it draws

    quality_plots.draw()
