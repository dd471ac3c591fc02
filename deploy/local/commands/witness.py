"""``pingyi witness``: watch the audit log as an independent party, and cosign that it only grew."""

import time
from pathlib import Path
from typing import Annotated, Final

import typer

from deploy.audit.archive_log import ArchiveLog
from deploy.audit.witness import ContradictedError, Witness, make_key
from deploy.local.commands.options import DataOption, PortBaseOption, find_platform
from deploy.local.errors import LocalError
from deploy.local.layout import DEFAULT_DATA
from shared.kernel.clock import SystemClock, rfc3339

DEFAULT_NAME: Final = "pingyi.witness/1"
CONTRADICTED: Final = 3


def witness(
    directory: Annotated[
        Path,
        typer.Option(
            "--dir", metavar="DIR", help="Where this witness keeps its key and what it saw.", file_okay=False
        ),
    ] = Path("witness"),
    name: Annotated[str, typer.Option("--name", help="Name of a new key.")] = DEFAULT_NAME,
    log_key: Annotated[
        str | None,
        typer.Option("--log-key", metavar="KEY", help="The log's verifier key; pinned at the first look."),
    ] = None,
    print_key: Annotated[
        bool,
        typer.Option(
            "--print-key", help="Print this witness's verifier key, for the log's operator; no more."
        ),
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    every_s: Annotated[
        float, typer.Option("--every", metavar="S", help="Seconds between two looks.", min=0.1)
    ] = 10.0,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
) -> None:
    """Cosign each new checkpoint that continues the last one seen; exit code 3 if the log contradicts itself.

    A rollback or a fork is never cosigned. Make the key with --print-key and give its line to the operator
    of the log, who adds it to the file ARCHIVE_WITNESS_KEYS (of `pingyi up`: secrets/archive-witness.keys).
    """
    key = make_key(directory, name)
    if print_key:
        typer.echo(key.verifier.text)
        return
    clock = SystemClock()
    with ArchiveLog(find_platform(data, port_base).service_url("archive")) as log:
        watching = Witness.open(directory, log, clock, log_key)
        while True:
            try:
                typer.echo(f"{rfc3339(clock.now())} {watching.look(log)}")
            except ContradictedError as error:
                typer.echo(f"{rfc3339(clock.now())} {error}", err=True)
                raise typer.Exit(CONTRADICTED) from error
            except LocalError as error:
                if once:
                    raise
                typer.echo(f"{rfc3339(clock.now())} {error}", err=True)
            if once:
                return
            time.sleep(every_s)
