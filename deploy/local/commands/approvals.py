"""``pingyi approvals``: what takes two people, waiting for the second one."""

import json
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from deploy.local.api import call
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.layout import DEFAULT_DATA
from deploy.local.showing import shown
from shared.kernel.grades import Level
from shared.kernel.reasons import RejectionReason

approvals = typer.Typer(no_args_is_help=True, help="What takes two people: look, approve, reject.")

ApprovalId = Annotated[str, typer.Argument(help="Id of the request, from `pingyi approvals list`.")]
By = Annotated[str, typer.Option("--by", help="Role or credential that decides; never a person's name.")]
ByLevel = Annotated[
    Level | None, typer.Option("--level", help="Level of who decides; if left out that of who asked.")
]

_KINDS: Final = {
    "exclusion": "剔除", "reinstatement": "申诉", "rules": "规则", "unmasking": "调阅身份",
    "correction": "更正",
}  # fmt: skip
_STAGES: Final = {
    "pending": "待定", "expired": "逾期", "rejected": "驳回", "granted": "已准", "carried_out": "已办结",
}  # fmt: skip


@approvals.command("list")
def list_(
    stage: Annotated[str | None, typer.Option(help="Only these: " + ", ".join(_STAGES))] = None,
    kind: Annotated[str | None, typer.Option(help="Only these: " + ", ".join(_KINDS))] = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """List requests for approval, newest first."""
    url = f"{find_platform(data, port_base).service_url('intake')}/v1/approvals"
    answer = call("GET", url, params={"stage": stage, "kind": kind, "limit": 500})
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    Console(highlight=False, width=160).print(approvals_table(answer["items"]))


def approvals_table(items: list[dict[str, Any]]) -> Table:
    """Requests as people read them."""
    table = Table(box=None, pad_edge=False)
    for name in ("编号", "事项", "状态", "理由", "申请人", "期限", "评价", "决定人"):
        table.add_column(name, no_wrap=name == "编号")
    for each in items:
        table.add_row(
            each["approval_id"],
            _KINDS.get(each["kind"], each["kind"]),
            _STAGES.get(each["stage"], each["stage"]),
            shown(each["reason"]),
            shown(each.get("requested_by", "群众")),
            each["expires_at"],
            str(each["size"]),
            shown(each.get("decided_by", "")),
        )
    return table


@approvals.command("show")
def show(
    approval_id: ApprovalId,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one request, with its ratings, or what a rule pack would change."""
    url = f"{find_platform(data, port_base).service_url('intake')}/v1/approvals/{approval_id}"
    typer.echo(json.dumps(call("GET", url), ensure_ascii=False, indent=None if as_json else 2))


@approvals.command("approve")
def approve(
    approval_id: ApprovalId,
    by: By,
    level: ByLevel = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Agree to what somebody else asked for; intake carries it out."""
    url = f"{find_platform(data, port_base).service_url('intake')}/v1/approvals/{approval_id}"
    body = {"decided_by": by, "level": _level(url, level)}
    _tell(call("POST", f"{url}/approve", body=body), as_json=as_json)


@approvals.command("reject")
def reject(
    approval_id: ApprovalId,
    by: By,
    reason: Annotated[RejectionReason, typer.Option(help="Why.")],
    level: ByLevel = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse what somebody else asked for."""
    url = f"{find_platform(data, port_base).service_url('intake')}/v1/approvals/{approval_id}"
    body = {"decided_by": by, "level": _level(url, level), "reason": reason.value}
    _tell(call("POST", f"{url}/reject", body=body), as_json=as_json)


def _level(url: str, named: Level | None) -> str:
    """The level to decide at: nobody below who asked may, and nothing is decided below the county."""
    if named is None:
        named = Level(call("GET", url).get("level") or Level.COUNTY)
        named = Level.COUNTY if named is Level.WINDOW else named
    return named.value


def _tell(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    kind, stage = _KINDS.get(answer["kind"], answer["kind"]), _STAGES.get(answer["stage"], answer["stage"])
    typer.echo(f"{answer['approval_id']} {kind} {stage}（{answer['size']} 条评价）")
