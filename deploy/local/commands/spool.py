"""``pingyi spool``: ratings that are accepted and wait on a disk until the broker is back."""

import asyncio
import json
import time
from pathlib import Path
from typing import Annotated

import typer

from deploy.local.broker import connection_as
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.layout import DEFAULT_DATA, Layout
from deploy.local.spools import SpoolState, drain, find_spool, look_into

spool = typer.Typer(no_args_is_help=True, help="Accepted ratings that wait on disk for the broker.")
DirectoryArgument = Annotated[
    Path | None,
    typer.Argument(metavar="[DIR]", help="Directory of a spool, or of an intake; the platform's own."),
]
_BETWEEN_S = 1.0


@spool.command("show")
def show(
    directory: DirectoryArgument = None, data: DataOption = DEFAULT_DATA, as_json: JsonOption = False
) -> None:
    """Show how much waits, since when, who owns it, and what a person must look at; intake may be down."""
    state = look_into(_directory(directory, data))
    if as_json:
        typer.echo(json.dumps(state.as_json(), ensure_ascii=False))
        return
    typer.echo(f"{state.directory}: {_amount(state)}; owner: {state.owner or 'nobody'}")
    for kind, count in sorted(state.kinds.items()):
        typer.echo(f"  {kind}: {count}")
    for each in state.aside:
        typer.echo(f"  set aside: {each['kind']} {each['message_id']}: {each['reason']}")
    for name in state.damaged:
        typer.echo(f"  damaged file: {name}")


@spool.command("drain-status")
def drain_status(
    directory: DirectoryArgument = None, data: DataOption = DEFAULT_DATA, as_json: JsonOption = False
) -> None:
    """Look twice, a second apart: how fast it drains, and how long it will take."""
    place = _directory(directory, data)
    first, began = look_into(place), time.monotonic()
    time.sleep(_BETWEEN_S)
    last = look_into(place)
    per_s = (first.messages - last.messages) / (time.monotonic() - began)
    left_s = last.messages / per_s if per_s > 0 else None
    if as_json:
        answer = {**last.as_json(), "per_second": round(per_s, 1), "left_seconds": left_s and round(left_s)}
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    if not last.messages:
        how = "nothing to drain"
    elif left_s is None:
        how = "not draining: is the broker there? see `pingyi status`"
    else:
        how = f"{per_s:.0f}/s, {left_s:.0f} s to go"
    typer.echo(f"{_amount(last)}; {how}")


@spool.command("drain")
def drain_(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Spool of an intake that is gone.")],
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring another host's spool to the stream; whatever is there already is recognised.

    Needs intake's broker seed and keys. Refused while an intake owns the spool.
    """
    place = find_spool(directory)
    layout = find_platform(data, port_base)
    fates = asyncio.run(_drain(place, layout))
    left = look_into(place)
    if as_json:
        typer.echo(json.dumps({"drained": fates, **left.as_json()}, ensure_ascii=False))
    else:
        said = ", ".join(f"{count} {fate}" for fate, count in sorted(fates.items())) or "nothing to drain"
        typer.echo(f"{said}; {_amount(left)}")
    if left.messages or left.aside or left.damaged:
        raise typer.Exit(1)


async def _drain(place: Path, layout: Layout) -> dict[str, int]:
    async with connection_as(layout, "intake") as client:
        return await drain(
            place,
            layout.secrets,
            client,
            units=layout.units_path,
            say=lambda line: typer.echo(line, err=True),
        )


def _directory(given: Path | None, data: Path) -> Path:
    return find_spool(given if given is not None else Layout(data.resolve()).service_data("intake"))


def _amount(state: SpoolState) -> str:
    if not state.messages:
        return "empty"
    return f"{state.messages} messages, {state.size} bytes, the oldest of {state.oldest}"
