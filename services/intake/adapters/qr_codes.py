"""QR codes of one-time tokens, by segno: small pictures with the quiet zone that scanners need."""

from io import BytesIO
from typing import Final, Literal

import segno

Form = Literal["svg", "png"]

_LEVEL: Final = "m"
"""15 per cent of the code may be dirty or torn; more makes the modules too small for a receipt printer."""
_BORDER: Final = 4
_SCALE: Final = 6
"""Pixels of one module."""


def qr_code(content: str, form: Form) -> bytes:
    """The picture of `content` as SVG or PNG."""
    code = segno.make_qr(content, error=_LEVEL, boost_error=False)
    picture = BytesIO()
    if form == "svg":
        code.save(picture, kind="svg", scale=_SCALE, border=_BORDER, light="#fff", nl=False)
    else:
        code.save(picture, kind="png", scale=_SCALE, border=_BORDER)
    return picture.getvalue()
