"""Saying how big a value is instead of repeating it."""


class Size:
    """Stands in error messages for a value that must not be, or need not be, quoted."""

    __slots__ = ("_words",)

    def __init__(self, words: str) -> None:
        """`words` such as ``12 characters``."""
        self._words = words

    def __repr__(self) -> str:
        return self._words


def size_of(value: object) -> Size:
    """Describe a value of JSON, or its bytes, without repeating it; types are named as JSON does."""
    if isinstance(value, str):
        return Size(f"{len(value)} characters")
    if isinstance(value, dict | list):
        return Size(f"{len(value)} entries")
    if isinstance(value, bytes):
        return Size(f"{len(value)} bytes")
    kind = "null" if value is None else "boolean" if isinstance(value, bool) else "number"
    return Size(f"a value of type {kind}")
