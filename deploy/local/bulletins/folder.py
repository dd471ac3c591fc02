"""The folder of one bulletin: its text, its figures, and the two files that are printed of them."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.local.bulletins.document import Document, parse
from deploy.local.bulletins.figures import FORM, canonical
from deploy.local.bulletins.html import to_html
from deploy.local.bulletins.layout import lay_out
from deploy.local.bulletins.pdf import to_pdf
from deploy.local.bulletins.wording import draft
from deploy.local.errors import LocalError
from shared.kernel.errors import describe
from shared.kernel.scrubbing import scrub

TEXT: Final = "bulletin.md"
FIGURES: Final = "figures.json"
PDF: Final = "bulletin.pdf"
HTML: Final = "bulletin.html"
SEAL: Final = "seal"


@dataclass(frozen=True, slots=True)
class Printed:
    """A bulletin as it is printed."""

    document: Document
    figures: dict[str, Any]
    pdf: bytes
    html: bytes

    @property
    def figures_sha256(self) -> str:
        """Hash of the figures, as they are kept."""
        return sha256(canonical(self.figures))


def sha256(data: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sealed(figures: dict[str, Any]) -> dict[str, Any]:
    """`figures` with the hash of all others of them, so that a change by mistake is noticed."""
    return {**figures, SEAL: sha256(canonical({name: figures[name] for name in figures if name != SEAL}))}


def write_draft(folder: Path, figures: dict[str, Any], *, force: bool = False) -> None:
    """Write figures and the first text into `folder`.

    Raises:
        LocalError: there is a text already, which somebody may have edited.
    """
    if (folder / TEXT).exists() and not force:
        raise LocalError(
            describe(
                str(folder / TEXT), "a folder without a draft", "name another with --out, or use --force"
            )
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FIGURES).write_bytes(canonical(sealed(figures)))
    (folder / TEXT).write_bytes(draft(figures).encode())


def render(folder: Path) -> Printed:
    """Print what is in `folder`; writes nothing.

    Raises:
        LocalError: it is no folder of a bulletin, or its figures are not as this version drafted them.
        BulletinTextError: the text can't be read.
        InvalidValueError: the text names a table or plot that there is not.
    """
    for name in (TEXT, FIGURES):
        if not (folder / name).is_file():
            raise LocalError(
                describe(
                    f"no {folder / name}", "the folder of a draft", "draft it: pingyi bulletin --period …"
                )
            )
    try:
        figures = json.loads((folder / FIGURES).read_bytes())
    except ValueError as error:
        raise LocalError(describe(str(folder / FIGURES), "figures as drafted", "draft it anew")) from error
    if not isinstance(figures, dict) or figures.get("form") != FORM:
        raise LocalError(describe(str(folder / FIGURES), f"figures of form {FORM}", "draft it anew"))
    if sealed(figures) != figures:
        raise LocalError(
            describe(f"{folder / FIGURES}, which was changed", "figures as drafted", "draft it anew: --force")
        )
    try:
        text = (folder / TEXT).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise LocalError(describe(str(folder / TEXT), "text in UTF-8", "save it as UTF-8")) from error
    document = parse(text)
    laid = lay_out(document, figures)
    return Printed(document, figures, to_pdf(laid), to_html(laid))


def write(folder: Path, printed: Printed) -> None:
    """Write the two files that are printed."""
    (folder / PDF).write_bytes(printed.pdf)
    (folder / HTML).write_bytes(printed.html)


def require_publishable(folder: Path, printed: Printed) -> None:
    """Return if what lies in `folder` is finished, and printed of the text that lies beside it.

    Raises:
        LocalError: it isn't; the message says what to do.
    """
    if printed.document.to_do:
        raise LocalError(
            describe(
                printed.document.to_do[0], "a finished text", f"write what is missing in {folder / TEXT}"
            )
        )
    for line in (folder / TEXT).read_text(encoding="utf-8").splitlines():
        if not line.startswith(">") and scrub(line, mistyped=True) != line:
            raise LocalError(
                describe(scrub(line, mistyped=True), "a text without numbers of people", "take them out")
            )
    for name, data in ((PDF, printed.pdf), (HTML, printed.html)):
        path = folder / name
        if not path.is_file() or path.read_bytes() != data:
            raise LocalError(
                describe(
                    str(path),
                    "the file that this text gives",
                    f"look it over first: pingyi bulletin render {folder}",
                )
            )
