"""Which encoding a text file is in: decided by all of its bytes, never guessed from a few."""

import codecs
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local.errors import LocalError
from shared.kernel.errors import describe

CHUNK: Final = 1 << 20
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class EncodingError(LocalError):
    """A file is text in none of the encodings that are read."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a file is made of.

    Attributes:
        sha256: of its bytes, hexadecimal.
        size: in bytes.
    """

    sha256: str
    size: int


def fingerprint(path: Path) -> Fingerprint:
    """Hash a file.

    Raises:
        OSError: it cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    for chunk in _chunks(path):
        digest.update(chunk)
        size += len(chunk)
    return Fingerprint(digest.hexdigest(), size)


def encoding_of(path: Path) -> str:
    """The encoding of a text file: what its byte order mark says, else UTF-8, else GB18030 (so GBK, too).

    The whole file must be valid in it: a wrong guess would turn names into others without a word.

    Raises:
        EncodingError: it is valid in none of them, or binary.
        OSError: it cannot be read.
    """
    head = next(_chunks(path), b"")
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            broken = _first_error(path, encoding)
            if broken is not None:
                raise _undecodable(path, f"{encoding} as its byte order mark says", broken)
            return encoding
    begin = head[:4096]
    if begin.count(0) * _ZEROS_ONE_IN > len(begin):
        expected = "text in UTF-8 or GB18030 (GBK), or UTF-16 with a byte order mark"
        raise EncodingError(describe(f"zero bytes in {path.name}", expected, _REMEDY))
    breaks: dict[str, int] = {}
    for encoding in ("utf-8", "gb18030"):
        broken = _first_error(path, encoding)
        if broken is None:
            return encoding
        breaks[encoding] = broken
    nearest = max(breaks, key=lambda encoding: breaks[encoding])
    raise _undecodable(path, f"UTF-8 or GB18030 (GBK), of which {nearest} comes furthest,", breaks[nearest])


_ZEROS_ONE_IN: Final = 20
"""So many of a file's first bytes are zero only in UTF-16 or a binary file; fewer spoil their own rows."""
_REMEDY: Final = "save the file as “CSV UTF-8” or as .xlsx"


def _undecodable(path: Path, expected: str, place: int) -> EncodingError:
    return EncodingError(
        describe(
            f"{path.name}, which stops being text at byte {place}", f"text in {expected} to the end", _REMEDY
        )
    )


def _first_error(path: Path, encoding: str) -> int | None:
    """The byte at which the file stops being text in `encoding`; None if it never does."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    read = 0
    for chunk in _chunks(path):
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError as error:
            return read - pending + error.start
        read += len(chunk)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return read
    return None


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
