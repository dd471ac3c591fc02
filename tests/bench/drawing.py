"""How the plots in docs/ look, and how they are written: the same figures give the same bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

IMAGES: Final = Path("docs/images")

INK: Final = "#1f2933"
MUTED: Final = "#7b8794"
GRID: Final = "#e4e7eb"
BLUE: Final = "#0072b2"
ORANGE: Final = "#d55e00"
GREEN: Final = "#009e73"
"""Okabe and Ito's colours, which colour-blind readers tell apart."""

_STYLE: Final = {
    "svg.hashsalt": "pingyi",  # ids in the file come from this, not from chance
    "svg.fonttype": "path",  # looks the same where the font is missing
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "white",
}


@contextmanager
def plot(name: str, width: float, height: float, columns: int = 1, **options: object) -> Iterator[Any]:
    """Axes to draw on, several for several columns; written to ``docs/images/<name>.svg`` afterwards.

    ``width`` and ``height`` are in inches; ``options`` go to `pyplot.subplots`.
    """
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(1, columns, figsize=(width, height), layout="constrained", **options)
        yield axes
        IMAGES.mkdir(parents=True, exist_ok=True)
        path = IMAGES / f"{name}.svg"
        figure.savefig(path, metadata={"Date": None, "Creator": None})
        plt.close(figure)
        # One newline at the end and none before line ends, as in every other file here.
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("".join(f"{line.rstrip()}\n" for line in lines), encoding="utf-8")
