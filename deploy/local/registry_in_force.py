"""The registry that commands judge by: of the running platform, else as it was loaded last."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from deploy.local.broker import cli_connection
from deploy.local.commands.options import find_platform
from deploy.local.errors import LocalError, NoPlatformError
from deploy.local.layout import Layout
from shared.kernel.errors import TransientError
from shared.kernel.regions import Division, DivisionRegistry, load_divisions
from shared.kernel.registry_book import RegistryBook
from shared.kernel.units import Unit, UnitRegistry, load_units
from shared.messaging.registry import read_registry


@dataclass(frozen=True, slots=True)
class InForce:
    """Units and divisions to judge by.

    Attributes:
        about: where they are from, for people.
    """

    units: UnitRegistry
    divisions: DivisionRegistry
    about: str


def registry_in_force(data: Path) -> InForce:
    """What the platform of `data`, or of the environment's addresses, has in force now.

    Without one that runs, what was loaded from this machine last; where nothing was, the committed tables.
    """
    try:
        layout = find_platform(data)
    except NoPlatformError:
        return _on_disk(Layout(data.resolve()), "no platform runs here")
    try:
        book = asyncio.run(_read(layout))
    except (LocalError, TransientError, NatsError, JetStreamError, TimeoutError, OSError):
        return _on_disk(layout, "the broker does not answer")
    return _in_force(book.units, book.divisions, f"the registry in force (number {book.number})")


async def _read(layout: Layout) -> RegistryBook:
    async with cli_connection(layout) as client:
        return await read_registry(client, load_divisions())


def _on_disk(layout: Layout, why: str) -> InForce:
    if layout.units_path is None:
        return _in_force(load_units(), load_divisions(), f"the committed registry, as {why}")
    path = layout.divisions_file
    divisions = DivisionRegistry.load(path) if path.is_file() else load_divisions()
    about = f"the registry as it was loaded last ({layout.units_file}), as {why}"
    return _in_force(load_units(layout.units_path), divisions, about)


def _in_force(units: Iterable[Unit], divisions: Iterable[Division], about: str) -> InForce:
    return InForce(UnitRegistry(units), DivisionRegistry(divisions), about)
