"""``pingyi alerts``: what notify has raised, why, and taking it over or putting it off."""

import json
from datetime import timedelta
from typing import Annotated, Any

import typer

from deploy.local.api import call
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.layout import DEFAULT_DATA
from shared.kernel.clock import SystemClock, rfc3339

alerts = typer.Typer(no_args_is_help=True, help="Alerts: who was told what, why, and who takes it over.")
AlertId = Annotated[str, typer.Argument(help="Id of the alert, from `pingyi alerts list`.")]
NoteOption = Annotated[str, typer.Option("--note", help="Free note; telephone numbers are taken out.")]


@alerts.command("list")
def list_(
    rule: Annotated[str | None, typer.Option(help="Only this rule.")] = None,
    severity: Annotated[str | None, typer.Option(help="info, warning or critical.")] = None,
    state: Annotated[str | None, typer.Option(help="open or acknowledged.")] = None,
    unit: Annotated[str | None, typer.Option(help="Only this unit.")] = None,
    recipient: Annotated[str | None, typer.Option(help="Only what this recipient is told.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Most alerts to show.")] = 20,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """List recent alerts, newest first."""
    url = find_platform(data, port_base).service_url("notify")
    wanted = {
        "rule": rule, "severity": severity, "state": state, "unit_id": unit, "recipient": recipient,
        "limit": limit,
    }  # fmt: skip
    page = call("GET", f"{url}/v1/alerts", params=wanted)
    for each in page["items"]:
        typer.echo(json.dumps(each, ensure_ascii=False) if as_json else _line(each))
    if not page["items"] and not as_json:
        typer.echo("No such alerts.")


@alerts.command("explain")
def explain(
    alert_id: AlertId,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell which events, numbers and threshold an alert rests on, and who is told."""
    url = find_platform(data, port_base).service_url("notify")
    found = call("GET", f"{url}/v1/alerts/{alert_id}/explain")
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    typer.echo(f"{_line(found['alert'])}\n{found['alert']['body']}")
    typer.echo(f"rule       {found['alert']['rule']} ({found['label']}): {found['condition'] or '-'}")
    typer.echo(f"rule pack  {found['rules'] or '-'}")
    typer.echo(f"threshold  {found['threshold'] or '-'}")
    typer.echo("numbers    " + ", ".join(f"{name}={value}" for name, value in found["numbers"].items()))
    typer.echo("events     " + (", ".join(found["events"]) or "-"))
    for each in found["told"]:
        how = "at once" if each["held"] is None else f"held ({each['held']})"
        name = each["label"] or "(in the file no more)"
        typer.echo(f"told       {each['recipient']} {name} {each['role_label']}: {how}, {each['due_at']}")


@alerts.command("ack")
def ack(
    alert_id: AlertId,
    note: NoteOption = "",
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take an alert over in your own name; nobody else is told of it from then on."""
    url = find_platform(data, port_base).service_url("notify")
    _show(call("POST", f"{url}/v1/alerts/{alert_id}/ack", body={"note": note}), as_json=as_json)


@alerts.command("snooze")
def snooze(
    alert_id: AlertId,
    minutes: Annotated[int, typer.Option(min=1, help="For how long, at most the rule pack's limit.")] = 60,
    note: NoteOption = "",
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put an alert off: it is not escalated before then."""
    url = find_platform(data, port_base).service_url("notify")
    until = rfc3339(SystemClock().now() + timedelta(minutes=minutes))
    body = {"until": until, "note": note}
    _show(call("POST", f"{url}/v1/alerts/{alert_id}/snooze", body=body), as_json=as_json)


def _show(alert: dict[str, Any], *, as_json: bool) -> None:
    typer.echo(json.dumps(alert, ensure_ascii=False) if as_json else _line(alert))


def _line(alert: dict[str, Any]) -> str:
    state = f"{alert['severity']:8}  {alert['state']:12}"
    return f"{alert['alert_id']}  {alert['raised_at']}  {state}  {alert['title']}"
