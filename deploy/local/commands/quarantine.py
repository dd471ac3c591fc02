"""``pingyi quarantine``: the ratings that are held, and what becomes of them."""

import json
import uuid
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from deploy.local.api import call
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.layout import DEFAULT_DATA
from shared.kernel.reasons import ExclusionReason, QuarantineReason, ReleaseReason

quarantine = typer.Typer(no_args_is_help=True, help="The ratings that are held until somebody has looked.")

TIMEOUT_S: Final = 300.0
"""Ten thousand ratings are decided about in one request."""

Cluster = Annotated[
    str | None, typer.Option(help="All that is held with it; from `pingyi quarantine list --clusters`.")
]
Events = Annotated[list[str] | None, typer.Argument(help="Event ids of single ratings.", show_default=False)]
DecidedBy = Annotated[
    str | None, typer.Option(help="Role or credential that decides; never a person's name.")
]


@quarantine.command("list")
def list_(
    *,
    unit_id: Annotated[str | None, typer.Option("--unit", help="Only of this unit.")] = None,
    city: Annotated[str | None, typer.Option(help="GB/T 2260 prefecture, 4 digits.")] = None,
    county: Annotated[str | None, typer.Option(help="GB/T 2260 county, 6 digits.")] = None,
    reason: Annotated[QuarantineReason | None, typer.Option(help="Only held for this reason.")] = None,
    cluster: Cluster = None,
    clusters: Annotated[bool, typer.Option("--clusters", help="What they are held with.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="So many.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="The `next` of the page before.")] = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show held ratings, the longest held first; or the largest clusters of them."""
    params: dict[str, Any] = {
        "unit_id": unit_id, "city": city, "county": county, "limit": limit,
        "reason": None if reason is None else reason.value,
    }  # fmt: skip
    url = f"{find_platform(data, port_base).service_url('intake')}/v1/quarantine"
    if clusters:
        found = call("GET", f"{url}/clusters", params=params)
    else:
        found = call("GET", url, params=params | {"cluster": cluster, "cursor": cursor})
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    for item in found["items"]:
        typer.echo(_cluster_line(item) if clusters else _rating_line(item))
    if clusters and not found["items"]:
        typer.echo("No held ratings match.")
    if not clusters:
        more = f" Next page: --cursor {found['next']}" if found["next"] else ""
        typer.echo(f"{found['total']} held ratings match.{more}")


def _rating_line(item: dict[str, Any]) -> str:
    return (
        f"{item['event_id']}  {item['unit_id']}  {item['grade']}  {item['reason']:<13}  "
        f"{item['cluster'] or item['decided_by'] or '-'}  {item['held_at']}"
    )


def _cluster_line(item: dict[str, Any]) -> str:
    return (
        f"{item['cluster'] or 'held by people':<30}  {item['unit_id']}  {item['ratings']:>7}  "
        f"{item['reason']:<13}  {item['first_held_at']} – {item['last_held_at']}"
    )


@quarantine.command("release")
def release(
    events: Events = None,
    *,
    cluster: Cluster = None,
    reason: Annotated[ReleaseReason, typer.Option(help="Why.")] = ReleaseReason.FOUND_GENUINE,
    decided_by: DecidedBy = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let held ratings count again: a whole cluster, or those that are named."""
    _decide("release", reason.value, events, cluster, decided_by, data, port_base, as_json=as_json)


@quarantine.command("exclude")
def exclude(
    events: Events = None,
    *,
    reason: Annotated[ExclusionReason, typer.Option(help="Why.")],
    cluster: Cluster = None,
    decided_by: DecidedBy = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask that held ratings never count; another person has to approve it (`pingyi approvals approve`)."""
    _decide("exclude", reason.value, events, cluster, decided_by, data, port_base, as_json=as_json)


def _decide(
    move: str,
    reason: str,
    events: list[str] | None,
    cluster: str | None,
    decided_by: str | None,
    data: Path,
    port_base: int | None,
    *,
    as_json: bool,
) -> None:
    if bool(events) == (cluster is not None):
        raise typer.BadParameter("name either event ids or one --cluster")
    url = f"{find_platform(data, port_base).service_url('intake')}/v1/quarantine/decisions"
    chosen: dict[str, Any] = {"event_ids": events} if events else {"cluster": cluster}
    body = {"move": move, "reason": reason, "decided_by": decided_by} | chosen
    results: list[dict[str, Any]] = []
    asked: list[str] = []
    while True:
        # A key for each request, so that asking again after a lost answer is the same request for approval.
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        answer = call("POST", url, body=body, headers=headers, timeout_s=TIMEOUT_S, attempts=5)
        results += [each | {"approval_id": answer["approval_id"]} for each in answer["results"]]
        asked += filter(None, [answer["approval_id"]])
        body["cursor"] = answer["next"]
        if not answer["next"] and (not answer["remaining"] or not answer["done"]):
            break
    if as_json:
        typer.echo(json.dumps(results, ensure_ascii=False))
        return
    counts = Counter(result["outcome"] for result in results)
    for result in results:
        if result["outcome"] in {"not_open", "not_found"}:
            typer.echo(f"{result['event_id']}  {result['outcome']}  {result['state'] or ''}".rstrip())
    typer.echo(", ".join(f"{name}: {count}" for name, count in sorted(counts.items())) or "nothing is held")
    for approval in asked:
        typer.echo(f"Another person decides: pingyi approvals approve {approval} --by <role>")
