"""``pingyi cases``: look at cases, and move them through their life."""

import json
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import uuid4

import typer

from deploy.local.api import call
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.layout import DEFAULT_DATA, Layout

cases = typer.Typer(no_args_is_help=True, help="Rectification cases 整改件: who answers for what, by when.")

CaseArgument = Annotated[str, typer.Argument(metavar="CASE", help="Id of the case.")]
ByOption = Annotated[str | None, typer.Option(help="Role or credential that acts; never a name.")]
KeyOption = Annotated[str | None, typer.Option(help="Idempotency-Key; a new one if left out.")]
EtagOption = Annotated[str | None, typer.Option(help="Only if the case is still what this ETag says.")]
TextOption = Annotated[str | None, typer.Option(help="What is written; numbers of people are taken out.")]
ReasonOption = Annotated[str | None, typer.Option(help="Why.")]
UnitOption = Annotated[str | None, typer.Option(help="About this unit, or assigned to it.")]
DEFAULT_BY: Final = None


def _url(layout: Layout, path: str = "") -> str:
    return f"{layout.service_url('rectify')}/v1/cases{path}"


@cases.command("list")
def list_cases(
    unit: UnitOption = None,
    city: Annotated[str | None, typer.Option(help="Of this city, 4 digits.")] = None,
    county: Annotated[str | None, typer.Option(help="Of this county, 6 digits.")] = None,
    status: Annotated[str | None, typer.Option(help="That stand there, for example in_progress.")] = None,
    case_class: Annotated[str | None, typer.Option("--class", help="A, B or C.")] = None,
    handler: Annotated[str | None, typer.Option(help="Of this post or account.")] = None,
    overdue: Annotated[bool | None, typer.Option(help="Where something should have been done.")] = None,
    mine: Annotated[bool | None, typer.Option(help="That I or my unit or bureau answer for.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Most cases to show.")] = 50,
    burning: Annotated[bool, typer.Option(help="Open ones only, what burns first at the top.")] = False,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """List cases, the last changed first."""
    layout = find_platform(data, port_base)
    params = {
        "unit_id": unit, "city": city, "county": county, "status": status, "case_class": case_class,
        "handler": handler, "overdue": overdue, "mine": mine, "limit": limit,
    }  # fmt: skip
    answer = call("GET", _url(layout, "/worklist" if burning else ""), params=params)
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    for case in answer["items"]:
        due = f"{case['due_for']} by {case['due_at']}" if case["due_at"] else "-"
        late = " OVERDUE 逾期" if case["overdue"] else ""
        name = case["case_class"] or "-"
        typer.echo(f"{case['case_id']}  {case['unit_id']}  {name}  {case['status_label']}  {due}{late}")
    if not answer["items"]:
        typer.echo("No such cases.")


@cases.command("show")
def show(
    case: CaseArgument,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one case: where it stands, its clocks, its history and what can be done now."""
    answer = call("GET", _url(find_platform(data, port_base), f"/{case}"))
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    _say(answer)
    for step in answer["history"]:
        note = f": {step['note']}" if step["note"] else ""
        typer.echo(f"  {step['at']}  {step['fact']}  by {step['by']}{note}")
    if answer["answer"]:
        typer.echo(f"Answer 答复: {answer['answer']}")


@cases.command("figures")
def figures(
    unit: UnitOption = None,
    county: Annotated[str | None, typer.Option(help="Of this county, 6 digits.")] = None,
    city: Annotated[str | None, typer.Option(help="Of this city, 4 digits.")] = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """How a unit or a place puts right: on time, confirmed, reopened, median days."""
    params = {"unit_id": unit, "county": county, "city": city}
    answer = call("GET", _url(find_platform(data, port_base), "/figures"), params=params)
    if as_json:
        typer.echo(json.dumps(answer))
        return
    for name, value in answer.items():
        typer.echo(f"{name}: {'-' if value is None else value}")


@cases.command("open")
def open_case(
    unit: Annotated[str, typer.Option(help="Unit that the case is about.")],
    reason: Annotated[str, typer.Option(help="What it is about.")],
    inspection: Annotated[str | None, typer.Option(help="Id of the spot check that found it.")] = None,
    by: ByOption = DEFAULT_BY,
    key: KeyOption = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open a case by hand 人工立案."""
    body: dict[str, Any] = {"unit_id": unit, "reason": reason, "ref": inspection}
    if by is not None:
        body["by"] = by
    body["origin"] = "manual" if inspection is None else "inspection"
    headers = {"Idempotency-Key": key or uuid4().hex}
    _print(call("POST", _url(find_platform(data, port_base)), body=body, headers=headers), as_json=as_json)


def _move(
    name: str,
    case: str,
    place: tuple[Path, int | None],
    how: tuple[str | None, str | None, str | None, bool],
    **fields: object,
) -> None:
    """Make the move ``name``; ``place`` is the platform's, ``how`` by whom, key, ETag, as JSON."""
    by, key, etag, as_json = how
    headers = {"Idempotency-Key": key or uuid4().hex}
    if etag is not None:
        headers["If-Match"] = etag
    given = {field: value for field, value in {"by": by, **fields}.items() if value is not None}
    url = _url(find_platform(*place), f"/{case}/moves")
    _print(call("POST", url, body={"move": name} | given, headers=headers), as_json=as_json)


def _print(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        _say(answer)


def _say(case: dict[str, Any]) -> None:
    name = f"class {case['case_class']}" if case["case_class"] else "no class yet"
    typer.echo(f"{case['case_id']}  {case['unit_id']}  {case['status_label']} ({case['status']}), {name}")
    for clock in case["clocks"]:
        if clock["due_at"]:
            typer.echo(f"  {clock['name']} by {clock['due_at']}")
    typer.echo(f"  can be done now: {', '.join(case['open_moves']) or 'nothing'}")


@cases.command("contact")
def contact(
    case: CaseArgument, by: ByOption = DEFAULT_BY, key: KeyOption = None, etag: EtagOption = None,
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """The citizen was spoken to 首次联系."""
    _move("contact", case, (data, port_base), (by, key, etag, as_json))


@cases.command("classify")
def classify(
    case: CaseArgument,
    case_class: Annotated[str, typer.Argument(metavar="A|B|C", help="Soon, complex, not now.")],
    reason: Annotated[str | None, typer.Option(help="Why another class than it has.")] = None,
    by: ByOption = DEFAULT_BY, key: KeyOption = None, etag: EtagOption = None,
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Give it its class 分类; another one needs a reason, and is for whoever may judge the case."""
    _move(
        "classify", case, (data, port_base), (by, key, etag, as_json), case_class=case_class.upper(),
        reason=reason,
    )  # fmt: skip


@cases.command("assign")
def assign(
    case: CaseArgument,
    unit: Annotated[str, typer.Option(help="Unit that answers for it.")],
    handler: Annotated[str, typer.Option(help="Post or account in it; never a name.")],
    by: ByOption = DEFAULT_BY, key: KeyOption = None, etag: EtagOption = None,
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Hand it to who answers for it 交办."""
    to = {"unit_id": unit, "handler": handler}
    _move("assign", case, (data, port_base), (by, key, etag, as_json), to=to)


@cases.command("transfer")
def transfer(
    case: CaseArgument,
    unit: Annotated[str | None, typer.Option(help="Propose: unit that should take it over.")] = None,
    handler: Annotated[str | None, typer.Option(help="Propose: post or account in it.")] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Take over what was proposed.")] = False,
    refuse: Annotated[bool, typer.Option("--refuse", help="Don't, and file the reason 否决报备.")] = False,
    reason: ReasonOption = None,
    by: ByOption = DEFAULT_BY, key: KeyOption = None, etag: EtagOption = None,
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Propose, accept or refuse a transfer 转办; until then the first handler stays responsible."""
    place, how = (data, port_base), (by, key, etag, as_json)
    if sum((accept, refuse, unit is not None and handler is not None)) != 1:
        raise typer.BadParameter("give --unit with --handler, or --accept, or --refuse")
    if accept:
        _move("accept_transfer", case, place, how)
    elif refuse:
        _move("refuse_transfer", case, place, how, reason=reason)
    else:
        to = {"unit_id": unit, "handler": handler}
        _move("propose_transfer", case, place, how, to=to, reason=reason)


@cases.command("plan")
def plan(
    case: CaseArgument,
    goal: Annotated[str | None, typer.Option(help="Goal 目标.")] = None,
    measures: Annotated[str | None, typer.Option(help="Measures 措施.")] = None,
    deadline: Annotated[str | None, typer.Option(help="Deadline 时限, RFC 3339 with its offset.")] = None,
    unit: Annotated[str | None, typer.Option(help="Responsible unit 责任单位.")] = None,
    leader: Annotated[str | None, typer.Option(help="Post of the leader 责任领导.")] = None,
    person: Annotated[str | None, typer.Option(help="Post of the person 责任人.")] = None,
    by: ByOption = DEFAULT_BY, key: KeyOption = None, etag: EtagOption = None,
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """State the six elements of its plan 制定方案."""
    _move(
        "plan", case, (data, port_base), (by, key, etag, as_json), goal=goal, measures=measures,
        deadline=deadline, responsible_unit=unit, responsible_leader=leader, responsible_person=person,
    )  # fmt: skip


@cases.command("report")
def report(
    case: CaseArgument, text: TextOption = None,
    by: ByOption = DEFAULT_BY, key: KeyOption = None, etag: EtagOption = None,
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Tell how it goes 报告进展."""
    _move("report", case, (data, port_base), (by, key, etag, as_json), text=text)


@cases.command("extend")
def extend(
    case: CaseArgument,
    days: Annotated[int, typer.Option(min=1, help="Working days more.")],
    reason: ReasonOption = None,
    by: ByOption = DEFAULT_BY, key: KeyOption = None, etag: EtagOption = None,
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """More time, once 延期."""
    _move("extend", case, (data, port_base), (by, key, etag, as_json), working_days=days, reason=reason)


@cases.command("pause")
def pause(
    case: CaseArgument, reason: ReasonOption = None,
    by: ByOption = DEFAULT_BY, key: KeyOption = None, etag: EtagOption = None,
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Wait for the citizen; clocks stand still 等待群众."""
    _move("pause", case, (data, port_base), (by, key, etag, as_json), reason=reason)


@cases.command("resume")
def resume(
    case: CaseArgument, by: ByOption = DEFAULT_BY, key: KeyOption = None, etag: EtagOption = None,
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Go on 恢复办理."""
    _move("resume", case, (data, port_base), (by, key, etag, as_json))


@cases.command("answer")
def answer(
    case: CaseArgument,
    outcome: Annotated[str | None, typer.Option(help="resolved, unfounded, or explained (C).")] = None,
    text: TextOption = None,
    by: ByOption = DEFAULT_BY, key: KeyOption = None, etag: EtagOption = None,
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Tell the citizen what became of it 答复."""
    _move("answer", case, (data, port_base), (by, key, etag, as_json), outcome=outcome, text=text)


@cases.command("confirm")
def confirm(
    case: CaseArgument,
    silence: Annotated[bool, typer.Option(help="The citizen said nothing in time.")] = False,
    by: ByOption = DEFAULT_BY, key: KeyOption = None, etag: EtagOption = None,
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Confirm for a silent citizen, or where there is none; citizens use their receipt 确认."""
    whose = "silence" if silence else "supervisor"
    _move("confirm", case, (data, port_base), (by, key, etag, as_json), confirmed_by=whose)


@cases.command("close")
def close(
    case: CaseArgument, by: ByOption = DEFAULT_BY, key: KeyOption = None, etag: EtagOption = None,
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """File it 办结."""
    _move("close", case, (data, port_base), (by, key, etag, as_json))


@cases.command("review")
def review(
    case: CaseArgument,
    now_class: Annotated[str, typer.Argument(metavar="A|B|C", help="C: still not solvable.")],
    finding: TextOption = None,
    by: ByOption = DEFAULT_BY, key: KeyOption = None, etag: EtagOption = None,
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Look again at what could not be solved 复核."""
    how = (by, key, etag, as_json)
    _move("review", case, (data, port_base), how, now_class=now_class.upper(), finding=finding)


@cases.command("spot-check")
def spot_check(
    case: CaseArgument,
    passed: Annotated[bool, typer.Option("--passed/--failed", help="Whether what was done has lasted.")],
    finding: TextOption = None,
    by: ByOption = DEFAULT_BY, key: KeyOption = None, etag: EtagOption = None,
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Look back at a settled case 回头看; one that failed is reopened."""
    _move("spot_check", case, (data, port_base), (by, key, etag, as_json), passed=passed, finding=finding)


@cases.command("inquire")
def inquire(
    case: CaseArgument,
    question: Annotated[str | None, typer.Option(help="What is asked.")] = None,
    by: ByOption = DEFAULT_BY, key: KeyOption = None, etag: EtagOption = None,
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Ask the unit a question, one level down 质询."""
    _move("inquire", case, (data, port_base), (by, key, etag, as_json), question=question)


@cases.command("respond")
def respond(
    case: CaseArgument, text: TextOption = None,
    by: ByOption = DEFAULT_BY, key: KeyOption = None, etag: EtagOption = None,
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Reply to the question of the level above 答复质询."""
    _move("respond", case, (data, port_base), (by, key, etag, as_json), text=text)


@cases.command("annul")
def annul(
    case: CaseArgument,
    reason: Annotated[str, typer.Option(help="mistaken or repeated.")] = "mistaken",
    by: ByOption = DEFAULT_BY, key: KeyOption = None, etag: EtagOption = None,
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    """It is no case 撤销; not to be undone by hand."""
    _move("annul", case, (data, port_base), (by, key, etag, as_json), reason=reason)
