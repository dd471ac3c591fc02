r"""The text of a bulletin as a person edits it: a little Markdown, of which everything else is plain text.

```
+++
title = "…"                 TOML: what stands around the text
+++
## 一、总体情况              a section; ### a part of it
文字，**加粗**               a paragraph; \* is a plain star
- 条目                       a list
{{表:总体情况}}              a table or plot of the figures, by its name
> 说明                       for editors, not printed
```

Pure. Nothing in it is markup for a browser or a typesetter: whoever prints it, escapes it.
"""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date
from typing import Final, Literal, NamedTuple

from shared.kernel.errors import InvalidValueError, PermanentError, describe

FENCE: Final = "+++"
TO_DO: Final = "【待补充"
"""What a person still has to write; nothing with it is published."""

_ARTEFACT: Final = re.compile(r"\{\{\s*(表|图)\s*[:：]\s*(\S[^{}]*?)\s*\}\}")
_BOLD: Final = re.compile(r"\*\*(?P<bold>(?:\\.|[^*\\])+)\*\*")
_ESCAPED: Final = re.compile(r"\\(.)")
_SPECIAL: Final = re.compile(r"([\\*{}]|^[#>\-+])")
_BLANK: Final = re.compile(r"[\s\x00-\x1f\x7f\u2028\u2029]+")
_HEADINGS: Final = (("### ", 2), ("## ", 1), ("# ", 1))


class BulletinTextError(PermanentError):
    """The text of a bulletin can't be read; says where and what to do."""


class Run(NamedTuple):
    """Text in one weight."""

    text: str
    bold: bool = False


Kind = Literal["heading", "paragraph", "items", "table", "plot"]


@dataclass(frozen=True, slots=True)
class Block:
    """One part of the text.

    Attributes:
        kind: what it is.
        level: of a heading, 1 or 2.
        lines: of an `items` each item, else one.
        name: of a table or plot.
    """

    kind: Kind
    lines: tuple[tuple[Run, ...], ...] = ()
    level: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Meta:
    """What stands around the text, one line each.

    Attributes:
        title: of the bulletin.
        masthead: 报头, in red on top.
        issue: number of the issue.
        issuer: issuing body.
        date: day of issue, YYYY-MM-DD.
        report_to: 报, whom it is reported to.
        send_to: 送, whom it is sent to.
        print_run: 印数, as it is printed.
    """

    title: str
    masthead: str
    issue: str
    issuer: str
    date: str
    report_to: str = ""
    send_to: str = ""
    print_run: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A bulletin's text, read."""

    meta: Meta
    blocks: tuple[Block, ...]
    to_do: tuple[str, ...]
    """Lines that a person still has to write."""


def plain(text: str) -> str:
    """`text` of others, such as a unit's name, so that it means nothing within the text of a bulletin."""
    return _SPECIAL.sub(r"\\\1", _BLANK.sub(" ", text).strip())


def parse(text: str) -> Document:
    """Read the text of a bulletin.

    Raises:
        BulletinTextError: what stands around it is incomplete, or a line can't be read.
    """
    lines = text.replace("\r\n", "\n").lstrip("\ufeff").split("\n")
    if lines[0].strip() != FENCE or FENCE not in [line.strip() for line in lines[1:]]:
        raise BulletinTextError(
            describe(lines[0], f"a text that begins with settings between two lines {FENCE}", "draft it anew")
        )
    end = next(number for number, line in enumerate(lines[1:], 1) if line.strip() == FENCE)
    return Document(
        _meta("\n".join(lines[1:end])),
        tuple(_blocks(lines[end + 1 :])),
        tuple(line.strip() for line in lines[end + 1 :] if TO_DO in line and not line.startswith(">")),
    )


def _meta(text: str) -> Meta:
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BulletinTextError(
            describe(str(error), 'settings in TOML: name = "text"', "correct the lines on top")
        ) from error
    names = [each.name for each in fields(Meta)]
    for name, value in given.items():
        if name not in names:
            raise BulletinTextError(describe(name, f"one of {', '.join(names)}", "correct the lines on top"))
        if not isinstance(value, str) or _BLANK.sub(" ", value) != value:
            raise BulletinTextError(describe(value, f"{name} as one line of text", "correct it"))
    missing = [each.name for each in fields(Meta)[:5] if not given.get(each.name, "").strip()]
    if missing:
        raise BulletinTextError(describe(", ".join(missing), "a text for each", "add them on top"))
    try:
        date.fromisoformat(given["date"])
    except ValueError as error:
        raise BulletinTextError(describe(given["date"], "a day YYYY-MM-DD", "correct it")) from error
    return Meta(**given)


def _blocks(lines: Iterable[str]) -> Iterable[Block]:
    held: list[str] = []

    def paragraph() -> Iterable[Block]:
        if held:
            yield Block("paragraph", (runs(_joined(held)),))
            held.clear()

    items: list[tuple[Run, ...]] = []
    for raw in [*lines, ""]:
        line = raw.strip()
        if items and not line.startswith("- "):
            yield Block("items", tuple(items))
            items = []
        special = not line or line.startswith((">", "- ", "#", "{{"))
        if special:
            yield from paragraph()
        if not line or line.startswith(">"):
            continue
        if line.startswith("- "):
            items.append(runs(line[2:].strip()))
        elif line.startswith("{{"):
            yield _artefact(line)
        elif line.startswith("#"):
            yield _heading(line)
        else:
            held.append(line)


def _heading(line: str) -> Block:
    for mark, level in _HEADINGS:
        if line.startswith(mark):
            return Block("heading", (runs(line[len(mark) :].strip()),), level)
    raise BulletinTextError(describe(line, "## and a blank before a heading", "add the blank"))


def _artefact(line: str) -> Block:
    match = _ARTEFACT.fullmatch(line)
    if match is None:
        raise BulletinTextError(
            describe(line, "{{表:name}} or {{图:name}} on a line of its own", "correct the line")
        )
    return Block("table" if match[1] == "表" else "plot", name=match[2])


def _joined(lines: list[str]) -> str:
    """Lines of one paragraph; a blank between them only where Latin text goes on."""
    text = lines[0]
    for line in lines[1:]:
        text += f" {line}" if text[-1].isascii() and line[0].isascii() else line
    return text


def runs(text: str) -> tuple[Run, ...]:
    """`text` in its weights, with what was escaped as itself."""
    found: list[Run] = []
    at = 0
    for match in _BOLD.finditer(text):
        if match.start() > at:
            found.append(Run(_ESCAPED.sub(r"\1", text[at : match.start()])))
        found.append(Run(_ESCAPED.sub(r"\1", match["bold"]), bold=True))
        at = match.end()
    if at < len(text) or not found:
        found.append(Run(_ESCAPED.sub(r"\1", text[at:])))
    return tuple(found)


def require_known(document: Document, tables: Iterable[str], plots: Iterable[str]) -> None:
    """Return if every table and plot that the text names exists.

    Raises:
        InvalidValueError: one doesn't; the message names those there are.
    """
    known = {"table": list(tables), "plot": list(plots)}
    for block in document.blocks:
        if block.kind in known and block.name not in known[block.kind]:
            raise InvalidValueError(
                block.name, f"one of {', '.join(known[block.kind]) or 'none'}", "correct the line, or drop it"
            )
