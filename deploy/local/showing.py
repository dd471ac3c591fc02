"""Text of others on a terminal: shown, never obeyed."""

import unicodedata
from typing import Final

from rich.markup import escape

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of characters that move the cursor, turn the writing around or show nothing."""


def visible(text: str) -> str:
    """`text` with everything that a terminal would obey, or hide, as its code: ``<U+202E>``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"<U+{ord(char):04X}>" if unicodedata.category(char) in _HIDDEN else char for char in text)


def shown(text: str) -> str:
    """`text` for Rich: its square brackets are brackets, and no markup."""
    return escape(visible(text))
