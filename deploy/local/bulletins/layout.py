"""A bulletin's text with its tables and plots in their places: what HTML and PDF are made of. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from deploy.local.bulletins.document import Block, Document, Meta, Run, require_known
from deploy.local.bulletins.periods import day
from deploy.local.bulletins.plots import Plot, plots_of
from deploy.local.bulletins.tables import Table, tables_of


@dataclass(frozen=True, slots=True)
class Part:
    """One block, with what it shows.

    Attributes:
        block: of the text.
        number: of a table or plot among its kind, from 1.
        table: what a block ``table`` names.
        plot: what a block ``plot`` names.
    """

    block: Block
    number: int = 0
    table: Table | None = None
    plot: Plot | None = None


@dataclass(frozen=True, slots=True)
class Laid:
    """A bulletin that can be printed.

    Attributes:
        meta: what stands around it.
        day: of issue, in Chinese.
        parts: its blocks, in order.
        draft: whether something is still to be written.
    """

    meta: Meta
    day: str
    parts: tuple[Part, ...]
    draft: bool


def lay_out(document: Document, figures: Mapping[str, Any]) -> Laid:
    """Put tables and plots where the text names them.

    Raises:
        InvalidValueError: the text names one that the figures don't give.
    """
    tables, plots = tables_of(figures), plots_of(figures)
    require_known(document, tables, plots)
    parts: list[Part] = []
    counts = {"table": 0, "plot": 0}
    for block in document.blocks:
        if block.kind in counts:
            counts[block.kind] += 1
        if block.kind == "table":
            parts.append(Part(block, counts["table"], table=tables[block.name]))
        elif block.kind == "plot":
            parts.append(Part(block, counts["plot"], plot=plots[block.name]))
        else:
            parts.append(Part(block))
    return Laid(
        document.meta, day(date.fromisoformat(document.meta.date)), tuple(parts), bool(document.to_do)
    )


def text_of(runs: tuple[Run, ...]) -> str:
    """The plain text of a line."""
    return "".join(run.text for run in runs)
