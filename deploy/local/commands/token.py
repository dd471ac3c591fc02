"""``pingyi token``: a token of staff, of this machine's own issuer."""

import time
from typing import Annotated

import typer

from deploy.local.commands.options import DataOption
from deploy.local.layout import DEFAULT_DATA, Layout
from shared.auth.issuer import LocalIssuer
from shared.auth.principals import Role, Scope
from shared.auth.secrets import ISSUER_FILE, load_key

MINUTES = 15


def token(
    role: Annotated[
        str, typer.Option(help="<province|city|county|unit>.<viewer|handler|supervisor|auditor|admin>.")
    ],
    region: Annotated[
        str, typer.Option(help="360000 province, 360700 city, 360721 county, or the id of a unit.")
    ],
    subject: Annotated[
        str | None, typer.Option(help="Account or post, never a person's name; by default made of the role.")
    ] = None,
    minutes: Annotated[int, typer.Option(min=1, max=MINUTES, help="How long it is good.")] = MINUTES,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Print a token for the header `Authorization: Bearer …`, signed with this machine's issuer key.

    For one machine: in production tokens come from your own identity provider, see docs/operations.md.
    """
    layout = Layout(data.resolve())
    parsed, scope = Role.parse(role), Scope.parse(region)
    issuer = LocalIssuer(load_key(layout.secrets / ISSUER_FILE))
    name = subject or f"{parsed.tier}-{parsed.duty}-{scope}".lower()
    typer.echo(issuer.token(name, (parsed,), scope, time.time(), minutes * 60))
