"""``python -m deploy.registry.materialise FILE``: the table of units in force, out of the stream REGISTRY.

Services read their units from a file at their start (``UNITS_PATH``). This makes that file from the committed
table and the loads in the stream, on any machine the same bytes; run it before the services, as provisioner.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from nats.aio.client import Client

from services.intake.application.registering import apply_registry
from services.intake.domain.registry import RegistryBook, units_hash
from shared.events import InvalidEventError, parse_envelope, spec_for_type
from shared.kernel.unit_tables import units_text
from shared.kernel.units import load_units
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.reading import FoldReader
from shared.messaging.streams import REGISTRY

FILTER = "registry.v1.>"


async def read_registry(client: Client) -> RegistryBook:
    """The registry in force, folded from all that is in the stream now."""
    book = RegistryBook(load_units())
    reader = FoldReader(client, REGISTRY, filters=(FILTER,))
    try:
        while not reader.caught_up:
            for message in await reader.take(wait_s=1.0):
                try:
                    kind = msgspec.json.decode(message.data, type=dict[str, object]).get("type")
                    envelope = parse_envelope(spec_for_type(str(kind)).envelope, message.data)
                except (msgspec.MsgspecError, InvalidEventError) as error:
                    sys.stderr.write(f"{message.sequence} of {REGISTRY} is unreadable: {error}\n")
                    continue
                apply_registry(book, envelope)
    finally:
        await reader.close()
    return book


def write_table(book: RegistryBook, path: Path) -> None:
    """Write the table of units, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    with beside.open("w", encoding="utf-8") as file:
        file.write(units_text(book.units))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


async def _run(path: Path) -> RegistryBook:
    client = await connect(BrokerSettings(), "provisioner")
    try:
        book = await read_registry(client)
    finally:
        await client.close()
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
