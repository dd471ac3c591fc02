"""A bulletin as one HTML file that needs nothing else: no script, no address, no font of ours. Pure.

Everything that anybody wrote is escaped here, once.
"""

from html import escape
from pathlib import Path
from typing import Final

from deploy.local.bulletins.document import Run
from deploy.local.bulletins.layout import Laid, Part
from deploy.local.bulletins.tables import Table

STYLE: Final = Path(__file__).with_name("bulletin.css")
_ALIGN: Final = {"l": "left", "c": "center", "r": "right"}
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The file runs and loads nothing, even if something got past the escaping."""


def to_html(laid: Laid) -> bytes:
    """The file; the same text and figures give the same bytes."""
    meta = laid.meta
    body = [
        '<header class="head">',
        f'<p class="masthead">{escape(meta.masthead)}</p>',
        f'<p class="issue">{escape(meta.issue)}</p>',
        f'<p class="line"><span>{escape(meta.issuer)}</span><span>{escape(laid.day)}</span></p>',
        "</header>",
        f"<h1>{escape(meta.title)}</h1>",
        *(_part(part) for part in laid.parts),
        _foot(laid),
    ]
    if laid.draft:
        body.insert(0, '<p class="draft">初稿，未发布</p>')
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="zh-CN">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(meta.title)}</title>",
            f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>",
            "</head>",
            "<body>",
            "<main>",
            *body,
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    ).encode()


def _part(part: Part) -> str:
    block = part.block
    if block.kind == "heading":
        return f"<h{block.level + 1}>{_runs(block.lines[0])}</h{block.level + 1}>"
    if block.kind == "items":
        items = "".join(f"<li>{_runs(line)}</li>" for line in block.lines)
        return f"<ul>{items}</ul>"
    if part.table is not None:
        return _table(part.table, part.number)
    if part.plot is not None:
        note = f'<p class="note">{escape(part.plot.note)}</p>' if part.plot.note else ""
        svg = part.plot.svg.replace("<svg ", f'<svg role="img" aria-label="{escape(part.plot.text)}" ', 1)
        caption = f"<figcaption>图{part.number}　{escape(part.plot.caption)}</figcaption>"
        return f"<figure>{svg}{caption}{note}</figure>"
    return f"<p>{_runs(block.lines[0])}</p>"


def _runs(runs: tuple[Run, ...]) -> str:
    return "".join(f"<b>{escape(run.text)}</b>" if run.bold else escape(run.text) for run in runs)


def _table(table: Table, number: int) -> str:
    def cells(row: tuple[str, ...], tag: str) -> str:
        return "".join(
            f'<{tag} class="{_ALIGN[side]}">{escape(cell)}</{tag}>'
            for side, cell in zip(table.align, row, strict=True)
        )

    head = f"<thead><tr>{cells(table.header, 'th')}</tr></thead>"
    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in table.rows)
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    caption = f"<caption>表{number}　{escape(table.caption)}</caption>"
    return f'<div class="table"><table>{caption}{head}<tbody>{body}</tbody></table>{note}</div>'


def _foot(laid: Laid) -> str:
    meta = laid.meta
    lines = [
        f"<p>{name}：{escape(value)}</p>"
        for name, value in (("报", meta.report_to), ("送", meta.send_to))
        if value
    ]
    if meta.print_run:
        lines.append(f'<p class="run">{escape(meta.print_run)}</p>')
    return f'<footer class="foot">{"".join(lines)}</footer>' if lines else ""
