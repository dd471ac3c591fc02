"""``pingyi audit backup``, ``restore`` and ``rebuild-stream``."""

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from deploy.local.backup.making import make_backup
from deploy.local.backup.manifest import PARTS, Manifest
from deploy.local.backup.rebuilding import rebuild_stream
from deploy.local.backup.restoring import restore_backup
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption
from deploy.local.errors import LocalError, NoPlatformError
from deploy.local.layout import DEFAULT_DATA, DEFAULT_PORT_BASE, Layout
from deploy.local.platform_file import read_running
from shared.kernel.errors import describe
from shared.messaging.streams import FEEDBACK

OnlyPartOption = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="PART", help=f"Restore this only ({', '.join(PARTS)}); repeatable."),
]


def backup(
    directory: Annotated[Path, typer.Argument(help="New directory for the backup.", file_okay=False)],
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Back up the archive's database, all streams with the vault, and the keys.

    The platform may run; if it does not, its servers are started for the moment. With NATS_URL and
    MONGODB_URL set, the servers there are backed up. Whoever can read the backup can read everything.
    """
    layout, live = find_stopped_or_running(data, port_base)
    if not live and not layout.nats_data.is_dir():
        raise NoPlatformError(
            describe(str(layout.data), "the data directory of a platform", "name it with --data")
        )
    manifest = asyncio.run(make_backup(layout, directory, live=live, say=_teller(as_json=as_json)))
    _finish(manifest, f"The backup in {directory} is complete.", as_json=as_json)


def restore(
    directory: Annotated[Path, typer.Argument(help="Directory of the backup.", file_okay=False, exists=True)],
    only: OnlyPartOption = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Move what the platform has aside, to replaced/.")
    ] = False,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup to a platform that is stopped; checks every file first.

    After `--only mongodb` the archive replays what the streams have beyond it, in the announced order.
    """
    layout, _ = find_stopped_or_running(data, port_base)
    parts = chosen_parts(only)
    manifest = asyncio.run(
        restore_backup(layout, directory, parts=parts, replace=replace, say=_teller(as_json=as_json))
    )
    _finish(manifest, f"Restored {', '.join(parts)}. Start the platform with `pingyi up`.", as_json=as_json)


def rebuild(
    stream: Annotated[str, typer.Argument(help="Archived stream, such as FEEDBACK.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Save the stream as it is, and make it anew.")
    ] = False,
    leave_holes: Annotated[
        bool, typer.Option("--leave-holes", help="Leave sequences empty that the archive has no message for.")
    ] = False,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rebuild a stream of a stopped platform from the archive: the same messages at the same sequences.

    What the old stream has and the archive does not is appended behind them.
    """
    layout, _ = find_stopped_or_running(data, port_base)
    say = _teller(as_json=as_json)
    done = asyncio.run(rebuild_stream(layout, stream, replace_old=replace, leave_holes=leave_holes, say=say))
    if as_json:
        typer.echo(json.dumps(asdict(done)))
        return
    typer.echo(
        f"{stream}: sequences {done.first} to {done.last} from the archive, {len(done.holes)} of them empty; "
        f"{done.appended} messages that it lacks appended."
    )
    if stream == FEEDBACK:
        typer.echo(
            "Scoring takes it for another stream: start once with `IGNORE_SNAPSHOTS=true pingyi up`, "
            "so that it folds all of it anew."
        )


def find_stopped_or_running(data: Path, port_base: int | None) -> tuple[Layout, bool]:
    """Where the platform is or would be, and whether it runs; external servers count as running."""
    record = read_running(data / "platform.json")
    if record is not None:
        return record.layout(), True
    layout = Layout.from_environment(data, port_base or DEFAULT_PORT_BASE, os.environ)
    layout.require_startable()
    return layout, layout.external


def chosen_parts(only: list[str] | None) -> tuple[str, ...]:
    """The parts that ``--only`` names; all without it.

    Raises:
        LocalError: a name is not one of ``PARTS``.
    """
    for name in only or ():
        if name not in PARTS:
            raise LocalError(describe(name, f"one of {', '.join(PARTS)}", "correct the value of --only"))
    return tuple(name for name in PARTS if not only or name in only)


def _teller(*, as_json: bool) -> Callable[[str], None]:
    def say(sentence: str) -> None:
        typer.echo(sentence, err=as_json)

    return say


def _finish(manifest: Manifest, sentence: str, *, as_json: bool) -> None:
    typer.echo(
        manifest.model_dump_json(exclude={"streams": {"__all__": {"config"}}}) if as_json else sentence
    )
