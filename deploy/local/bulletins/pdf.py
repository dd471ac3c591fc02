"""A bulletin as PDF, set by Typst with fonts of its own: the same on every machine, byte for byte.

Typst and the fonts are loaded when a page is set, and by nobody else: no service imports this module.
"""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from deploy.local.bulletins.document import Run
from deploy.local.bulletins.layout import Laid, Part
from deploy.local.errors import LocalError
from shared.kernel.errors import describe

TEMPLATE: Final = Path(__file__).with_name("bulletin.typ")
FONTS: Final = "pylopdf_fonts_zh_cn"
"""Package with Noto Serif SC and Noto Sans SC (SIL OFL 1.1)."""


def to_pdf(laid: Laid) -> bytes:
    """The file; the same text and figures, set by the same version of Typst, give the same bytes.

    Raises:
        LocalError: the typesetter or its fonts are not installed, or the text can't be set.
    """
    for module in ("typst", FONTS):
        if find_spec(module) is None:
            raise LocalError(
                describe(f"no {module}", "the extra `bulletin`", "install it: pip install 'pingyi[bulletin]'")
            )
    import typst  # noqa: PLC0415 - 30 MB that only whoever prints should load

    try:
        found = typst.compile(
            TEMPLATE,
            format="pdf",
            font_paths=[fonts_directory()],
            ignore_system_fonts=True,
            sys_inputs={"document": json.dumps(data_of(laid), ensure_ascii=False, sort_keys=True)},
        )
    except RuntimeError as error:
        raise LocalError(describe(str(error)[:300], "a text that can be set", "report it")) from error
    return found


def fonts_directory() -> Path:
    """Where the fonts are."""
    spec = find_spec(FONTS)
    if spec is None or spec.origin is None:
        raise LocalError(describe(f"no {FONTS}", "its fonts", "install it: pip install 'pingyi[bulletin]'"))
    return Path(spec.origin).parent


def data_of(laid: Laid) -> dict[str, Any]:
    """What the template reads: plain text and numbers, no markup."""
    meta = laid.meta
    feet = [(name, value) for name, value in (("报", meta.report_to), ("送", meta.send_to)) if value]
    return {
        "title": meta.title,
        "masthead": meta.masthead,
        "issue": meta.issue,
        "issuer": meta.issuer,
        "day": laid.day,
        "draft": laid.draft,
        "foot": feet,
        "run": meta.print_run,
        "parts": [_part(part) for part in laid.parts],
    }


def _part(part: Part) -> dict[str, Any]:
    block = part.block
    found: dict[str, Any] = {
        "kind": block.kind,
        "level": block.level,
        "number": part.number,
        "lines": [_runs(line) for line in block.lines],
    }
    if part.table is not None:
        table = part.table
        found |= {"caption": table.caption, "header": table.header, "align": list(table.align)}
        found |= {"rows": table.rows, "note": table.note}
    if part.plot is not None:
        plot = part.plot
        found |= {"caption": plot.caption, "svg": plot.svg, "text": plot.text, "note": plot.note}
    return found


def _runs(runs: tuple[Run, ...]) -> list[dict[str, Any]]:
    return [{"text": run.text, "bold": run.bold} for run in runs]
