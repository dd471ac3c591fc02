"""``pingyi unmask``: read a citizen's text or contact, by two people."""

import json
from typing import Annotated, Any

import typer

from deploy.local.api import call, wallet
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.errors import LocalError
from deploy.local.layout import DEFAULT_DATA
from deploy.local.showing import visible
from deploy.local.wallet import REGION, TOKEN_VARIABLE
from shared.auth.principals import Scope
from shared.kernel.errors import describe
from shared.kernel.people_reasons import UnmaskReason

AsOption = Annotated[
    str | None,
    typer.Option("--as", metavar="ACTOR", help="Account or post that acts, never a person's name."),
]
ScopeOption = Annotated[
    str | None, typer.Option("--scope", help="What it answers for: province, a city, a county, or a unit.")
]
RequestArgument = Annotated[str, typer.Argument(metavar="REQUEST", help="Id of the unmasking.")]

unmask = typer.Typer(no_args_is_help=True, help="Read a citizen's text or contact, by two people.")


@unmask.command("request")
def request(
    event_id: Annotated[str, typer.Argument(help="Event id of the rating.")],
    reason: Annotated[UnmaskReason, typer.Option(help="Why.")],
    *,
    contact: Annotated[bool, typer.Option("--contact", help="The contact.")] = False,
    text: Annotated[bool, typer.Option("--text", help="The text.")] = False,
    actor: AsOption = None,
    scope: ScopeOption = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask to read; another person has to agree first."""
    parts = [name for name, wanted in (("text", text), ("contact", contact)) if wanted]
    if not parts:
        raise LocalError(describe("neither", "--text, --contact, or both", "say what has to be read"))
    url = f"{find_platform(data, port_base).service_url('intake')}/v1/feedback/{event_id}/unmaskings"
    body = {"reason": reason.value, "parts": parts}
    _tell(call("POST", url, body=body, headers=identity(actor, scope)), as_json=as_json)


def _add_step(name: str, method: str, path: str, summary: str) -> None:
    def step(
        request_id: RequestArgument,
        actor: AsOption = None,
        scope: ScopeOption = None,
        data: DataOption = DEFAULT_DATA,
        port_base: PortBaseOption = None,
        as_json: JsonOption = False,
    ) -> None:
        url = f"{find_platform(data, port_base).service_url('intake')}/v1/unmaskings/{request_id}{path}"
        _tell(call(method, url, headers=identity(actor, scope)), as_json=as_json)

    unmask.command(name, help=summary)(step)


_add_step("approve", "POST", "/approval", "Agree, as another person than who asked.")
_add_step("refuse", "POST", "/refusal", "Refuse, as another person than who asked; for good.")
_add_step("state", "GET", "", "Show how an unmasking stands.")
_add_step("show", "POST", "/disclosure", "Read what was asked for; that it is read is archived before.")


def identity(actor: str | None, scope: str | None, duty: str = "supervisor") -> dict[str, str]:
    """The proof of who acts: a token of this machine's issuer, or what the environment holds.

    Raises:
        LocalError: it is not said who acts, or nothing can prove it.
    """
    if actor is None or scope is None:
        raise LocalError(describe("nobody", "--as and --scope", "say who acts and what they answer for"))
    region = Scope.parse(REGION if scope == "province" else scope.ljust(len(REGION), "0"))
    proofs = wallet()
    token = None if proofs is None else proofs.token(actor, f"{region.tier}.{duty}", region.code)
    if token is None:
        raise LocalError(describe("no issuer here", "a token", f"set {TOKEN_VARIABLE}"))
    return {"Authorization": f"Bearer {token}"}


def _tell(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
    elif "request_id" in answer:
        typer.echo(
            f"Unmasking {answer['request_id']}: {answer['state']}, up to {answer['expires_at']}; "
            f"asked by {answer['requested_by']}, read {answer['shown']} times."
        )
    else:
        for name, value in (answer["contact"] or {}).items():
            if value is not None:
                typer.echo(f"{name}: {visible(str(value))}")
        if answer["text"] is not None:
            typer.echo("\n".join(map(visible, answer["text"].split("\n"))))
