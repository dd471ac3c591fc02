"""``pingyi sanctions`` and ``pingyi nominations``: look at what ladders led to, and decide it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.local.api import call
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.layout import DEFAULT_DATA, Layout

sanctions = typer.Typer(no_args_is_help=True, help="Sanctions 问责: proposed, signed, appealed against.")
nominations = typer.Typer(no_args_is_help=True, help="Nominations 推荐: the first of a closed list.")

SanctionArgument = Annotated[str, typer.Argument(metavar="SANCTION", help="Id of the sanction.")]
NominationArgument = Annotated[str, typer.Argument(metavar="NOMINATION", help="Id of the nomination.")]
ByOption = Annotated[str | None, typer.Option(help="Role or credential that acts; never a name.")]
EtagOption = Annotated[str | None, typer.Option(help="Only if it is still what this ETag says.")]
EvidenceOption = Annotated[list[str] | None, typer.Option(help="Where papers are filed; may be repeated.")]
UnitOption = Annotated[str | None, typer.Option(help="About this unit.")]
CityOption = Annotated[str | None, typer.Option(help="Of this city, 4 digits.")]
CountyOption = Annotated[str | None, typer.Option(help="Of this county, 6 digits.")]


def _url(layout: Layout, path: str) -> str:
    return f"{layout.service_url('rectify')}/v1/{path}"


@sanctions.command("list")
def list_sanctions(
    unit: UnitOption = None,
    city: CityOption = None,
    county: CountyOption = None,
    status: Annotated[str | None, typer.Option(help="That stand there, for example proposed.")] = None,
    ground: Annotated[str | None, typer.Option(help="U, C, veto or score.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Most to show.")] = 50,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """List sanctions, the last changed first."""
    params = {
        "unit_id": unit, "city": city, "county": county, "status": status, "ground": ground, "limit": limit,
    }  # fmt: skip
    answer = call("GET", _url(find_platform(data, port_base), "sanctions"), params=params)
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    for each in answer["items"]:
        typer.echo(_line(each))
    if not answer["items"]:
        typer.echo("No such sanctions.")


@sanctions.command("show")
def show(
    sanction: SanctionArgument,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one sanction: where it stands, what it rests on, what can be done now."""
    answer = call("GET", _url(find_platform(data, port_base), f"sanctions/{sanction}"))
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    _say(answer)
    for strike in answer["counted"]:
        ended = f", fell away: {strike['ended']}" if strike["ended"] else ""
        typer.echo(f"  strike {strike['basis']} of case {strike['case_id']} {strike['occurred_at']}{ended}")
    for event in answer["rests_on"]:
        typer.echo(f"  rests on {event}")


def _line(sanction: dict[str, Any]) -> str:
    what = f"{sanction['ground']}{sanction['step']}" if sanction["strikes"] else sanction["ground"]
    veto = f" {sanction['veto']} {sanction['year']}" if sanction["veto"] else ""
    return (
        f"{sanction['sanction_id']}  {sanction['unit_id']}  {what} {sanction['measure']}{veto}  "
        f"{sanction['status_label']}"
    )


def _say(sanction: dict[str, Any]) -> None:
    typer.echo(_line(sanction))
    if sanction["appeal_until"]:
        typer.echo(f"  may be appealed against until {sanction['appeal_until']}")
    typer.echo(f"  can be done now: {', '.join(sanction['open_moves']) or 'nothing'}")


def _decide(
    move: str,
    sanction: str,
    place: tuple[Path, int | None],
    how: tuple[str | None, str | None, bool],
    **fields: object,
) -> None:
    """Make a move; ``place`` is the platform's, ``how`` by whom, ETag, as JSON."""
    by, etag, as_json = how
    body = {name: value for name, value in {"by": by, **fields}.items() if value is not None}
    headers = {} if etag is None else {"If-Match": etag}
    url = _url(find_platform(*place), f"sanctions/{sanction}/{move}")
    answer = call("POST", url, body=body, headers=headers)
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        _say(answer)


@sanctions.command("sign")
def sign(
    sanction: SanctionArgument, by: ByOption = None, etag: EtagOption = None,
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Put a proposal in force 签发: a supervisor one level above the unit."""
    _decide("signature", sanction, (data, port_base), (by, etag, as_json))


@sanctions.command("reject")
def reject(
    sanction: SanctionArgument,
    reason: Annotated[
        str, typer.Option(help="facts_wrong, not_responsible, disproportionate or dealt_with.")
    ],
    evidence: EvidenceOption = None, by: ByOption = None, etag: EtagOption = None,
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Refuse to sign 不予签发: the strike that led to it falls away."""
    _decide("rejection", sanction, (data, port_base), (by, etag, as_json), reason=reason, evidence=evidence)


@sanctions.command("appeal")
def appeal(
    sanction: SanctionArgument,
    reason: Annotated[str, typer.Option(help="facts_wrong, not_responsible, disproportionate or procedure.")],
    evidence: EvidenceOption = None, by: ByOption = None, etag: EtagOption = None,
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Appeal 申诉, for the unit that it is about."""
    _decide("appeal", sanction, (data, port_base), (by, etag, as_json), reason=reason, evidence=evidence)


@sanctions.command("decide")
def decide(
    sanction: SanctionArgument,
    granted: Annotated[bool, typer.Option("--grant/--refuse", help="Whether the sanction is overturned.")],
    evidence: EvidenceOption = None, by: ByOption = None, etag: EtagOption = None,
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Decide an appeal 申诉决定: another person than who signed."""
    _decide("decision", sanction, (data, port_base), (by, etag, as_json), granted=granted, evidence=evidence)


@sanctions.command("check")
def check(
    quarter: Annotated[str, typer.Argument(metavar="QUARTER", help="2026Q4")],
    city: CityOption = None,
    county: CountyOption = None,
    sign: Annotated[bool, typer.Option("--sign", help="Stand for the figures of the own division.")] = False,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """The quarterly check 季度检查: what is open, overdue, unsigned, by region; and campaigns."""
    url = _url(find_platform(data, port_base), f"checks/{quarter}")
    if sign:
        signed = call("POST", url, body={})
        typer.echo(json.dumps(signed, ensure_ascii=False) if as_json else _signed(signed))
        return
    answer = call("GET", url, params={"city": city, "county": county})
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    for each in answer["items"]:
        typer.echo(
            f"{each['county'] if each['county'] != 'all' else each['city']}  opened {each['opened']}, closed "
            f"{each['closed']}, open {each['open']}, overdue {each['overdue_count']}, strikes "
            f"{each['strikes']}, unsigned {each['unsigned_count']}, appeals {each['appeals']}, nominations "
            f"{each['nominations']}"
        )
    for each in answer["campaigns"]:
        typer.echo(f"campaign {each['campaign_id']}: {each['phase']}, ends {each['ends']}")
    if not answer["items"]:
        typer.echo("Nothing in that quarter.")


@sanctions.command("checks")
def checks(
    quarter: Annotated[str | None, typer.Option(help="2026Q4")] = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the quarterly checks that were signed, the last one first."""
    answer = call("GET", _url(find_platform(data, port_base), "checks"), params={"quarter": quarter})
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    for each in answer["items"]:
        typer.echo(_signed(each))
    if not answer["items"]:
        typer.echo("None was signed.")


def _signed(check: dict[str, Any]) -> str:
    names = ("opened", "closed", "open", "overdue", "strikes", "unsigned", "appeals", "nominations")
    sums = ", ".join(f"{name} {sum(each[name] for each in check['regions'])}" for name in names)
    where = next((each for each in (check["county"], check["city"]) if each != "all"), "province")
    return (
        f"{check['quarter']} {where}  {sums}  signed by {check['by']} at {check['signed_at']}, "
        f"revision {check['revision']}"
    )


@nominations.command("list")
def list_nominations(
    unit: UnitOption = None,
    city: CityOption = None,
    county: CountyOption = None,
    period: Annotated[str | None, typer.Option(help="2026Q4 or 2026.")] = None,
    status: Annotated[str | None, typer.Option(help="open, confirmed or withdrawn.")] = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """List nominations, by list and rank."""
    params = {"unit_id": unit, "city": city, "county": county, "period": period, "status": status}
    answer = call("GET", _url(find_platform(data, port_base), "nominations"), params=params)
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    for each in answer["items"]:
        typer.echo(_nomination(each))
    if not answer["items"]:
        typer.echo("No such nominations.")


def _nomination(each: dict[str, Any]) -> str:
    waits = f", awaits {each['awaits']}" if each["awaits"] else ""
    return (
        f"{each['nomination_id']}  {each['list']} #{each['rank']}  {each['unit_id']}  {each['status']}{waits}"
    )


@nominations.command("confirm")
def confirm(
    nomination: NominationArgument, by: ByOption = None,
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Confirm what comes from one level below 确认推荐."""
    url = _url(find_platform(data, port_base), f"nominations/{nomination}/confirmation")
    answer = call("POST", url, body={} if by is None else {"by": by})
    typer.echo(json.dumps(answer, ensure_ascii=False) if as_json else _nomination(answer))
