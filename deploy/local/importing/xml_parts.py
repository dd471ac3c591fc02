"""The XML inside of a workbook, parsed as it streams by: no tree, no entities, no part without a bound.

A workbook is a ZIP file of XML that anybody can send. The archive's directory says how large each part is
unpacked, and `zipfile` reads no more than that; expat holds one token at a time. So the bounds are: sizes and
ratios from the directory, one token, depth, and no document type at all, which entities would need.
"""

import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Final
from xml.parsers import expat

from deploy.local.errors import LocalError
from shared.kernel.errors import describe

CHUNK: Final = 1 << 16
MAX_ENTRIES: Final = 10_000
MAX_PART: Final = 2 << 30
"""Bytes of a sheet or of its table of texts, unpacked."""
MAX_SMALL_PART: Final = 16 << 20
"""Bytes of every other part that is read, unpacked."""
MAX_RATIO: Final = 200
"""How many times larger than packed a part may be, once it is larger than a small part."""
MAX_TOKEN: Final = 1 << 20
MAX_DEPTH: Final = 64
MAX_NAMES: Final = 500
"""Different names of elements that are remembered, and the length of the longest one."""
_REMEDY: Final = "save the workbook anew with Excel or WPS as .xlsx, or save the sheet as “CSV UTF-8”"


class WorkbookError(LocalError):
    """The file is no workbook that can be read."""


def broken(what: str, expected: str) -> WorkbookError:
    """The error for a workbook that is not what it should be."""
    return WorkbookError(describe(what, expected, _REMEDY))


class Package:
    """The parts of a workbook."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        """Read the directory.

        Raises:
            WorkbookError: it is no ZIP file, encrypted, or has too many parts.
        """
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            raise broken(f"{name} ({error})", "a workbook (.xlsx), which is a ZIP file") from error
        self._parts = {info.filename: info for info in self._zip.infolist()}
        if len(self._parts) > MAX_ENTRIES:
            raise broken(f"{len(self._parts)} parts in {name}", f"at most {MAX_ENTRIES}")

    def __contains__(self, name: str) -> bool:
        """Tell whether there is such a part."""
        return name in self._parts

    def size(self, name: str) -> int:
        """Bytes of a part, unpacked."""
        return self._parts[name].file_size

    def open(self, name: str, limit: int = MAX_SMALL_PART) -> IO[bytes]:
        """A part of at most `limit` bytes; to be closed.

        Raises:
            WorkbookError: there is none, it is too large, encrypted, or packed in a way that isn't known.
        """
        info = self._parts.get(name)
        if info is None:
            raise broken(f"no part {name}", "all parts that a workbook names")
        if info.file_size > limit:
            raise broken(f"{name} of {info.file_size} bytes", f"at most {limit}")
        if info.file_size > MAX_SMALL_PART and info.file_size > MAX_RATIO * max(info.compress_size, 1):
            raise broken(
                f"{name}, packed {info.file_size // max(info.compress_size, 1)} to 1",
                f"at most {MAX_RATIO} to 1: more is a trap",
            )
        try:
            return self._zip.open(info)
        except (RuntimeError, NotImplementedError, zipfile.BadZipFile, OSError) as error:
            raise broken(f"{name} ({error})", "a part that can be unpacked without a password") from error

    def close(self) -> None:
        """Let go of the file."""
        self._zip.close()


class Handler:
    """What is done with a part's elements; names come without their prefixes."""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""

    def end(self, name: str) -> None:
        """An element ends."""

    def text(self, data: str) -> None:
        """Text, in pieces."""


class _Feed:
    """Takes what expat finds, with its bounds, and hands it on."""

    def __init__(self, handler: Handler, part: str) -> None:
        self._handler = handler
        self._part = part
        self._names: dict[str, str] = {}
        self._depth = 0
        self._event_at = 0
        self.read = 0

    def parser(self) -> expat.XMLParserType:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.buffer_size = CHUNK
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._doctype
        return parser

    def require_progress(self) -> None:
        """Refuse what makes expat collect byte after byte: a token without an end."""
        if self.read - self._event_at > MAX_TOKEN:
            raise broken(f"more than {MAX_TOKEN} bytes without an element in {self._part}", "elements")

    def _local(self, name: str) -> str:
        found = self._names.get(name)
        if found is None:
            found = name.rpartition(":")[2]
            if len(self._names) < MAX_NAMES and len(name) < MAX_NAMES:
                self._names[name] = found
        return found

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._event_at = self.read
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise broken(f"{self._part}, nested {self._depth} deep", f"at most {MAX_DEPTH}")
        self._handler.start(self._local(name), attributes)

    def _end(self, name: str) -> None:
        self._event_at = self.read
        self._depth -= 1
        self._handler.end(self._local(name))

    def _text(self, data: str) -> None:
        self._event_at = self.read
        self._handler.text(data)

    def _doctype(self, *_: object) -> None:
        raise broken(f"a document type in {self._part}", "none: workbooks have none, and entities need one")


def parse_part(stream: IO[bytes], handler: Handler, part: str) -> Iterator[int]:
    """Feed a part to `handler` piece by piece.

    Yields:
        Bytes read so far, after each piece.

    Raises:
        WorkbookError: it is not well-formed, has a document type, or a token or a depth beyond the bounds.
    """
    feed = _Feed(handler, part)
    parser = feed.parser()
    try:
        while chunk := stream.read(CHUNK):
            feed.read += len(chunk)
            parser.Parse(chunk, False)  # noqa: FBT003 - the parser's own interface
            feed.require_progress()
            yield feed.read
        parser.Parse(b"", True)  # noqa: FBT003 - the parser's own interface
    except expat.ExpatError as error:
        raise broken(f"{part} ({error})", "well-formed XML") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
        raise broken(f"{part} ({error})", "a part that can be unpacked") from error


def parse_whole(package: Package, part: str, handler: Handler) -> None:
    """Feed a small part to `handler`.

    Raises:
        WorkbookError: see `parse_part`.
    """
    with package.open(part) as stream:
        for _ in parse_part(stream, handler, part):
            pass
