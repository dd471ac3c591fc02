"""A state as bytes, in named sections that are read one by one.

Decoding a few hundred megabytes in one go would hold everything twice.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

_LENGTHS: Final = struct.Struct(">HQ")


def write_sections(sections: Mapping[str, Any]) -> bytes:
    """Write values of numbers, texts, bytes, lists and mappings; `Sections` reads them."""
    written = bytearray()
    for name, value in sections.items():
        encoded = msgspec.msgpack.encode(value)
        label = name.encode()
        written += _LENGTHS.pack(len(label), len(encoded))
        written += label
        written += encoded
    return bytes(written)


class Sections(Mapping[str, Any]):
    """What `write_sections` wrote; a section is decoded anew at each access."""

    def __init__(self, written: bytes) -> None:
        """Find the sections.

        Raises:
            ValueError: these are no sections, or the last one is cut off.
        """
        self._places: dict[str, memoryview] = {}
        view, at = memoryview(written), 0
        while at < len(view):
            try:
                label_bytes, value_bytes = _LENGTHS.unpack_from(view, at)
            except struct.error as error:
                raise ValueError(f"no section at byte {at}") from error
            start = at + _LENGTHS.size + label_bytes
            at = start + value_bytes
            if at > len(view):
                raise ValueError(f"a section of {value_bytes} bytes, cut off after {len(view) - start}")
            self._places[str(view[start - label_bytes : start], "utf-8")] = view[start:at]

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - whatever was written
        """Decode one section."""
        return msgspec.msgpack.decode(self._places[name])

    def __iter__(self) -> Iterator[str]:
        """The names, in the order of writing."""
        return iter(self._places)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._places)
