"""``pingyi feedback``: what becomes of a rating after it was accepted."""

import json
from enum import StrEnum
from typing import Annotated, Any

import typer

from deploy.local.api import call, client, send
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.layout import DEFAULT_DATA, Layout
from shared.kernel.grades import Dimension, Level
from shared.kernel.reasons import (
    CorrectionReason,
    ExclusionReason,
    QuarantineReason,
    ReinstatementReason,
    ReleaseReason,
    WithdrawalReason,
)

feedback = typer.Typer(no_args_is_help=True, help="What becomes of a rating after it was accepted.")

EventId = Annotated[str, typer.Argument(help="Event id of the rating, from `pingyi submit`.")]
DecidedBy = Annotated[
    str | None, typer.Option(help="Role or credential that decides; never a person's name.")
]
Key = Annotated[
    str | None, typer.Option("--idempotency-key", help="The same key again gets the same answer.")
]


@feedback.command("correct")
def correct(
    event_id: EventId,
    reason: Annotated[CorrectionReason, typer.Option(help="Why.")],
    *,
    grade: Annotated[int | None, typer.Option(help="The grade that was meant, 1 to 5.")] = None,
    unit_id: Annotated[str | None, typer.Option("--unit", help="The unit that was meant.")] = None,
    dimension: Annotated[
        list[str] | None, typer.Option(help="All sub-grades anew, such as service=2; repeat the option.")
    ] = None,
    decided_by: Annotated[str, typer.Option(help="Role or credential that asks; never a person's name.")],
    level: Annotated[Level, typer.Option(help="Level of who asks.")] = Level.COUNTY,
    key: Key = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask that other fields count; what is left out stays. Another person has to approve it."""
    dimensions = None if dimension is None else dict(_sub_grade(text) for text in dimension)
    body = {"grade": grade, "unit_id": unit_id, "dimensions": dimensions}
    body |= {"reason": reason.value, "decided_by": decided_by, "level": level.value}
    _ask(find_platform(data, port_base), f"feedback/{event_id}/corrections", body, key, as_json=as_json)


@feedback.command("withdraw")
def withdraw(
    receipt_code: Annotated[str, typer.Argument(help="Code on the citizen's receipt.")],
    reason: Annotated[
        WithdrawalReason, typer.Option(help="Why; nobody has to say.")
    ] = WithdrawalReason.UNSTATED,
    key: Key = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a rating back, for good, as the citizen who holds its receipt."""
    path, body = f"receipts/{receipt_code}/withdrawal", {"reason": reason.value}
    _revise(find_platform(data, port_base), path, body, key, as_json=as_json)


def _add_decision(name: str, reasons: type[StrEnum], path: str, summary: str) -> None:
    """Add the command ``name`` for a decision that names a rating and a reason, and nothing else."""

    def decide(
        event_id: EventId,
        reason: Annotated[reasons, typer.Option(help="Why.")],  # type: ignore[valid-type]  # typer reads it at run time
        decided_by: DecidedBy = None,
        key: Key = None,
        data: DataOption = DEFAULT_DATA,
        port_base: PortBaseOption = None,
        as_json: JsonOption = False,
    ) -> None:
        body = {"reason": str(reason), "decided_by": decided_by}
        _revise(find_platform(data, port_base), f"feedback/{event_id}/{path}", body, key, as_json=as_json)

    feedback.command(name, help=summary)(decide)


@feedback.command("exclude")
def exclude(
    event_id: EventId,
    reason: Annotated[ExclusionReason, typer.Option(help="Why.")],
    decided_by: Annotated[str, typer.Option(help="Role or credential that asks; never a person's name.")],
    level: Annotated[Level, typer.Option(help="Level of who asks.")] = Level.COUNTY,
    key: Key = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask that a rating not count; another person has to approve it (`pingyi approvals approve`)."""
    body = {"reason": reason.value, "decided_by": decided_by, "level": level.value}
    _ask(find_platform(data, port_base), f"feedback/{event_id}/exclusion", body, key, as_json=as_json)


_add_decision("reinstate", ReinstatementReason, "reinstatement", "Let an excluded rating count again.")
_add_decision(
    "quarantine", QuarantineReason, "quarantine", "Hold a suspicious rating until somebody has looked."
)
_add_decision("release", ReleaseReason, "release", "Let a held rating count again.")


@feedback.command("state")
def state(
    event_id: EventId,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what became of a rating, and what can be done to it next."""
    layout = find_platform(data, port_base)
    answer = call("GET", f"{layout.service_url('intake')}/v1/feedback/{event_id}/state")
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    moves = ", ".join(answer["moves"]) or "none"
    typer.echo(f"{answer['state']}, revision {answer['revision']}. Open moves: {moves}.")


def _sub_grade(text: str) -> tuple[str, int]:
    name, _, grade = text.partition("=")
    if name not in tuple(Dimension) or not grade.isdecimal():
        known = ", ".join(Dimension)
        raise typer.BadParameter(f"{text!r}: write <dimension>=<1 to 5>, the dimension one of {known}")
    return name, int(grade)


def _ask(layout: Layout, path: str, body: dict[str, Any], key: str | None, *, as_json: bool) -> None:
    """Ask for what takes two people."""
    answer = call(
        "POST",
        f"{layout.service_url('intake')}/v1/{path}",
        body={name: value for name, value in body.items() if value is not None},
        headers=None if key is None else {"Idempotency-Key": key},
    )
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    approval = answer["approval_id"]
    typer.echo(f"Asked for; another person decides: pingyi approvals approve {approval} --by <role>")


def _revise(layout: Layout, path: str, body: dict[str, Any], key: str | None, *, as_json: bool) -> None:
    with client() as http:
        answer = send(
            http,
            "POST",
            f"{layout.service_url('intake')}/v1/{path}",
            body={name: value for name, value in body.items() if value is not None},
            headers=None if key is None else {"Idempotency-Key": key},
            subject=body.get("decided_by"),
        ).json()
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    number, state_after = answer["target_revision"], answer["state"]
    typer.echo(f"Revision {number}: the rating is {state_after} now. Event {answer['event_id']}.")
