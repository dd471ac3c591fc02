"""``pingyi bulletin``: draft a bulletin 简报, print and publish it, tell a published file from others."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.local.api import call
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.layout import DEFAULT_DATA

bulletin = typer.Typer(help="Bulletins 简报: draft, print, publish, verify.")

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the draft.", file_okay=False)]


@bulletin.callback(invoke_without_command=True)
def draft(
    context: typer.Context,
    period: Annotated[
        str | None, typer.Option(help="Month 2026-10, quarter 2026Q4, year 2026, or the last days: 30d.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="GB/T 2260 code of province, city or county.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to write; named after both if left out.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Draft anew, over a text that is there.")] = False,
    rules_dir: Annotated[
        Path | None,
        typer.Option(
            "--rules-dir",
            metavar="DIR",
            envvar="RULES_PATH",
            help="Where packs are, beside the committed ones.",
        ),
    ] = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
) -> None:
    """Draft one from what is published: pingyi bulletin --period 2026-10 --region 360100."""
    if context.invoked_subcommand is not None:
        return
    if period is None or region is None:
        typer.echo(context.get_help())
        raise typer.Exit(0 if period is region else 2)
    # Here: `render` and `verify` need neither platform nor statistics.
    from deploy.local.bulletins.figures import figures_of  # noqa: PLC0415 - as said
    from deploy.local.bulletins.folder import render, write, write_draft  # noqa: PLC0415 - as said
    from deploy.local.bulletins.periods import Span  # noqa: PLC0415 - as said
    from deploy.local.bulletins.sources import gather  # noqa: PLC0415 - as said
    from shared.rules.loading import pack_by_hash  # noqa: PLC0415 - as said

    found = gather(find_platform(data, port_base), Span.parse(period), region)
    figures = figures_of(found, pack_by_hash(found.own[0]["rules"], rules_dir, None))
    folder = out or Path(f"bulletin-{region}-{figures['period']['label']}")
    write_draft(folder, figures, force=force)
    write(folder, render(folder))
    typer.echo(f"Drafted in {folder}: edit bulletin.md, then pingyi bulletin render {folder}")
    if figures["period"]["closed_on"] is None and not figures["period"]["label"].endswith("d"):
        typer.echo(f"The period is not closed yet: figures as of {figures['period']['as_of']}.")


@bulletin.command("render")
def render_draft(folder: FolderArgument) -> None:
    """Print the text of a draft as PDF and HTML."""
    from deploy.local.bulletins.folder import render, write  # noqa: PLC0415 - loads the typesetter

    printed = render(folder)
    write(folder, printed)
    typer.echo(f"Wrote {folder / 'bulletin.pdf'} and {folder / 'bulletin.html'}.")
    for line in printed.document.to_do:
        typer.echo(f"Still to be written 待补充: {line}")


@bulletin.command("publish")
def publish(
    folder: FolderArgument,
    by: Annotated[str | None, typer.Option(help="Account that publishes; whoever asks, if left out.")] = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish what was printed: its hashes go into the stream and the archive, for good."""
    from deploy.local.bulletins.folder import render, require_publishable, sha256  # noqa: PLC0415 - as above

    layout = find_platform(data, port_base)
    printed = render(folder)
    require_publishable(folder, printed)
    figures, meta = printed.figures, printed.document.meta
    body: dict[str, Any] = {
        "region": figures["region"]["division"],
        "period": figures["period"]["label"],
        "title": meta.title,
        "issue": meta.issue,
        "issuer": meta.issuer,
        "pdf_sha256": sha256(printed.pdf),
        "html_sha256": sha256(printed.html),
        "figures_sha256": printed.figures_sha256,
        "rules": figures["rules"]["hash"],
        "positions": figures["basis"]["positions"],
        "lists": figures["basis"]["lists"],
    }
    if by is not None:
        body["by"] = by
    answer = call("POST", f"{layout.service_url('rectify')}/v1/bulletins", body=body)
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    typer.echo(f"Published: {answer['title']}, revision {answer['revision']}, event {answer['event_id']}.")
    typer.echo(f"PDF  {answer['pdf_sha256']}\nHTML {answer['html_sha256']}")


@bulletin.command("list")
def list_published(
    region: Annotated[str | None, typer.Option(help="Of this division.")] = None,
    period: Annotated[str | None, typer.Option(help="Of this period.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Most to show.")] = 50,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what was published, the last first."""
    params = {"region": region, "period": period, "limit": limit}
    answer = call(
        "GET", f"{find_platform(data, port_base).service_url('rectify')}/v1/bulletins", params=params
    )
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    for each in answer["items"]:
        what = f"{each['region']}  {each['period']}  r{each['revision']}  {each['title']}"
        typer.echo(f"{each['published_at']}  {what}")
    if not answer["items"]:
        typer.echo("Nothing was published.")


@bulletin.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="PDF or HTML.", exists=True, dir_okay=False)],
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether a file is a published bulletin, unchanged; exit code 0 only if it is, and stands."""
    from deploy.local.bulletins.folder import sha256  # noqa: PLC0415 - as above
    from deploy.local.errors import ServiceRefusedError  # noqa: PLC0415 - as above

    digest = sha256(file.read_bytes())
    url = f"{find_platform(data, port_base).service_url('rectify')}/v1/bulletins/files/{digest}"
    try:
        answer = call("GET", url)
    except ServiceRefusedError as error:
        if error.problem.get("status") != 404:  # noqa: PLR2004 - not found
            raise
        if as_json:
            typer.echo(json.dumps({"published": False, "sha256": digest}))
        else:
            typer.echo(f"NOT PUBLISHED 未发布或已被改动: {file} (SHA-256 {digest})")
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(json.dumps({"published": True, "sha256": digest} | answer, ensure_ascii=False))
    else:
        typer.echo(
            f"PUBLISHED 已发布: {answer['title']} ({answer['region']}, {answer['period']}), the "
            f"{answer['form'].upper()} of revision {answer['revision']}, {answer['published_at']}"
        )
        typer.echo(f"Event {answer['event_id']}; SHA-256 {digest}")
        if not answer["stands"]:
            typer.echo(f"NOT IN FORCE 已被替换: revision {answer['standing_revision']} was published since.")
    if not answer["stands"]:
        raise typer.Exit(1)
