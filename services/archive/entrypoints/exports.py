"""Exports: every entry of a query as CSV or NDJSON, a few at a time, so that memory stays as it is."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Literal

import msgspec
from fastapi.responses import StreamingResponse

from services.archive.application.reading import Export
from services.archive.domain.entries import Entry
from services.archive.entrypoints.answers import encode_item
from shared.kernel.clock import rfc3339
from shared.kernel.spreadsheets import BOM, CSV, csv_lines

NDJSON: Final = "application/x-ndjson"
MEDIA_TYPES: Final = {"csv": CSV, "ndjson": NDJSON}
SIZE_HEADER: Final = "X-Log-Size"

Form = Literal["csv", "ndjson"]

COLUMNS: Final = (
    "index", "stream", "sequence", "subject", "kind", "duplicate_of", "event_id", "type", "source", "actor",
    "time", "received_at", "correlation_id", "causation_id", "unit_id", "region", "case_id", "channel",
    "synthetic", "data_hash", "leaf_hash", "data",
)  # fmt: skip

_LINE_ENDS: Final = bytes.maketrans(b"\r\n", b"  ")


class _Data(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"")


_decode = msgspec.json.Decoder(_Data).decode


def export_response(export: Export, form: Form) -> StreamingResponse:
    """The entries of ``export``; the connection is cut if the store fails in the middle."""
    write = {"csv": _table, "ndjson": _lines}[form]
    headers = {
        "Content-Disposition": f'attachment; filename="events-{export.size}.{form}"',
        SIZE_HEADER: str(export.size),
    }
    return StreamingResponse(
        _body(export, form, write), media_type=f"{MEDIA_TYPES[form]}; charset=utf-8", headers=headers
    )


async def _body(
    export: Export, form: Form, write: Callable[[Sequence[Entry]], bytes]
) -> AsyncIterator[bytes]:
    if form == "csv":
        yield (BOM + csv_lines([COLUMNS])).encode()
    async for part in export.parts():
        yield write(part)


def _lines(entries: Sequence[Entry]) -> bytes:
    # A raw line end can only stand between tokens; a producer is free to write it there.
    return b"".join(encode_item(entry).translate(_LINE_ENDS) + b"\n" for entry in entries)


def _table(entries: Sequence[Entry]) -> bytes:
    return csv_lines(_cells(entry) for entry in entries).encode("utf-8", "replace")


def _cells(entry: Entry) -> list[object]:
    leaf, known = entry.leaf, entry.leaf.attributes
    cells: list[object] = [entry.index, leaf.stream, leaf.sequence, leaf.subject, leaf.kind.value]
    cells.append(leaf.duplicate_of)
    if known is None:
        cells += [None] * (COLUMNS.index("data_hash") - len(cells))
    else:
        cells += [known.event_id, known.type, known.source, known.actor]
        cells += [rfc3339(known.time), rfc3339(known.received_at), known.correlation_id, known.causation_id]
        cells += [known.unit_id, leaf.region, known.case_id, known.channel, str(known.synthetic).lower()]
    data = b"" if entry.envelope is None else bytes(_decode(entry.envelope).data)
    return [*cells, leaf.data_hash.hex(), entry.leaf_hash.hex(), data.decode("utf-8", "replace")]
