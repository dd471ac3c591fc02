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
    """Describe a value of JSON without repeating it."""
    if isinstance(value, str):
        return Size(f"{len(value)} characters")
    if isinstance(value, dict | list):
        return Size(f"{len(value)} entries")
    return Size(f"a value of type {type(value).__name__}")
