"""``python -m deploy.registry.materialise FILE``: the table of units in force, out of the stream REGISTRY.

Services read their units from a file at their start (``UNITS_PATH``) and take up what is loaded later. This
that file from the committed table and the loads in the stream, on any machine the same bytes; run it before
the services, as provisioner: it is what they have while the broker is away.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from shared.kernel.registry_book import RegistryBook, units_hash
from shared.kernel.registry_tables import divisions_text
from shared.kernel.unit_tables import units_text
from shared.messaging.connection import BrokerSettings, close, connect
from shared.messaging.registry import read_registry


def write_table(book: RegistryBook, path: Path) -> None:
    """Write the table of units, whole or not at all."""
    _write(path, units_text(book.units))


def write_divisions(book: RegistryBook, path: Path) -> None:
    """Write the table of divisions, whole or not at all."""
    _write(path, divisions_text(book.divisions))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


async def _run(path: Path) -> RegistryBook:
    client = await connect(BrokerSettings(), "provisioner")
    try:
        book = await read_registry(client)
    finally:
        await close(client)
    write_table(book, path)
    return book


def main(argv: Sequence[str] | None = None) -> int:
    """Write the file that the first argument names; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.registry.materialise", description=__doc__)
    parser.add_argument("file", type=Path, help="UNITS_PATH of the services")
    path = parser.parse_args(argv).file
    book = asyncio.run(_run(path))
    sys.stdout.write(f"{path}: number {book.number}, {len(book.units)} units, {units_hash(book.units)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
