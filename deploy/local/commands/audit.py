"""``pingyi audit``: check the audit trail, take it away, prove what is in it."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.audit.archive_log import ArchiveLog
from deploy.audit.export import VERIFIER
from deploy.audit.export import export as write_export
from deploy.audit.keys import Trusted, trusted_keys
from deploy.audit.proof import event_id_of, prove
from deploy.audit.verifying import Outcome, compare
from deploy.local.api import VERIFY_ATTEMPTS, call
from deploy.local.commands.accepting import accept
from deploy.local.commands.backup import backup, rebuild, restore
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.errors import LocalError
from deploy.local.history.archive import read_lines
from deploy.local.layout import DEFAULT_DATA
from shared.kernel.errors import describe
from shared.messaging.streams import CASES, FEEDBACK

VERIFY_TIMEOUT_S = 1000.0
"""Longer than the archive itself takes before it gives up (`VERIFY_TIMEOUT_S`, 900), so that it says why."""

KeyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--key", metavar="KEY", help="Verifier key that you trust: the log's, a witness's. May be repeated."
    ),
]

audit = typer.Typer(no_args_is_help=True, help="The audit trail.")
audit.command("accept")(accept)
audit.command("backup")(backup)
audit.command("restore")(restore)
audit.command("rebuild-stream")(rebuild)


@audit.command("verify")
def verify(
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option("--checkpoint", metavar="FILE", help="A checkpoint saved earlier. May be repeated."),
    ] = None,
    key: KeyOption = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="FILE", help="Keep the newest checkpoint, if all is well."),
    ] = None,
    sample: Annotated[
        bool,
        typer.Option("--sample", help="Compare a sample of each stream with the log, not every message."),
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", min=1, metavar="SECONDS",
            help="How long to wait while the archive reads its whole log: longer than its VERIFY_TIMEOUT_S.",
        ),
    ] = VERIFY_TIMEOUT_S,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Check the log against tree, checkpoints, streams and what was saved; exit code 1 on any finding.

    The archive reads its own log for this; signatures and saved checkpoints are checked here. Who does not
    trust the archive takes `pingyi audit export` and checks that.
    """
    layout = find_platform(data, port_base)
    url = layout.service_url("archive")
    report = call(
        "GET",
        f"{url}/v1/verify",
        params={"against": "sample" if sample else "stream"},
        timeout_s=timeout,
        attempts=VERIFY_ATTEMPTS,
    )
    with ArchiveLog(url) as log:
        trusted = trusted_keys(key or (), layout, log)
        outcome = compare(log, trusted, checkpoint or ())
    report = _joined(report, outcome)
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False))
    else:
        typer.echo("\n".join([*describe_report(report), *_remark(trusted)]))
    if save is not None and report["ok"] and outcome.newest is not None:
        save.write_text(outcome.newest, encoding="utf-8", newline="")
    raise typer.Exit(0 if report["ok"] else 1)


@audit.command("export")
def export(
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]",
            help="New directory for the whole log with its proofs, or one whose export was interrupted.",
            file_okay=False,
        ),
    ] = None,
    stream: Annotated[
        str | None,
        typer.Option(help=f"Without DIR: the archived stream to print; {FEEDBACK} and {CASES} if left out."),
    ] = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
) -> None:
    """Write the log into DIR for `verify_export.py`, which lies in it; or print one stream as JSON lines.

    What is printed, `recompute --from FILE` reads. Neither is public: keep it where only those may read it
    who may read the archive.
    """
    url = find_platform(data, port_base).service_url("archive")
    if directory is None:
        for each in (stream,) if stream else (FEEDBACK, CASES):
            for line in read_lines(url, each):
                sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()
        return
    if stream is not None:
        raise LocalError(
            describe(f"DIR and --stream {stream}", "one of them", "leave --stream out: DIR gets all")
        )
    with ArchiveLog(url) as log:
        done = write_export(log, directory, lambda sentence: typer.echo(sentence, err=True))
    for missing in done.missing:
        typer.echo(f"not there: {missing}", err=True)
    typer.echo(
        f"{done.size} entries in {directory}. Check them with the key that you know, not with this one:"
    )
    typer.echo(f"  python {directory / VERIFIER} {directory} --key {done.key}")


@audit.command("proof")
def proof(
    asked: Annotated[
        str, typer.Argument(metavar="RECEIPT|EVENT_ID", help="A receipt code, or the id of any event.")
    ],
    key: KeyOption = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove that a rating is in the signed log; the proof is checked here, not believed."""
    layout = find_platform(data, port_base)
    event_id = event_id_of(asked, layout.service_url("intake"))
    with ArchiveLog(layout.service_url("archive")) as log:
        trusted = trusted_keys(key or (), layout, log)
        proved = prove(log, event_id, trusted)
    if as_json:
        typer.echo(json.dumps(proved.as_json(), ensure_ascii=False))
    else:
        typer.echo("\n".join([*proved.lines(), *_remark(trusted)]))


def describe_report(report: dict[str, Any]) -> list[str]:
    """The verification's answer in plain lines."""
    verdict = "OK" if report["ok"] else "NOT OK"
    lines = [f"{verdict}: {report['entries']} entries, {report['checkpoints']} checkpoints"]
    lines += [
        f"  {finding['where']}: {finding['what']}; {finding['expected']}" for finding in report["findings"]
    ]
    lines += [f"  {sentence}" for sentence in report["comparison"]]
    return lines


def _joined(report: dict[str, Any], outcome: Outcome) -> dict[str, Any]:
    """The archive's own report, with what was found here."""
    found = [{"where": one.where, "what": one.what, "expected": one.expected} for one in outcome.findings]
    return {
        **report,
        "ok": report["ok"] and not found,
        "findings": [*report["findings"], *found],
        "findings_total": report["findings_total"] + len(found),
        "comparison": list(outcome.sentences),
    }


def _remark(trusted: Trusted) -> list[str]:
    return [] if trusted.remark is None else [trusted.remark]
