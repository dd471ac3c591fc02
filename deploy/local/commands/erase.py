"""``pingyi erase``: destroy the text and the contact of a rating, for good."""

import json
from typing import Annotated

import typer

from deploy.local.api import call
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.commands.unmask import AsOption, ScopeOption, identity
from deploy.local.errors import LocalError
from deploy.local.layout import DEFAULT_DATA
from shared.kernel.errors import describe
from shared.kernel.people_reasons import ErasureReason


def erase(
    receipt_code: Annotated[str | None, typer.Argument(help="Code on the citizen's receipt.")] = None,
    event: Annotated[
        str | None, typer.Option(metavar="ID", help="Event id of the rating, as staff above the unit.")
    ] = None,
    record: Annotated[
        str | None, typer.Option(metavar="NAME", help="Record of the vault, as the province's staff.")
    ] = None,
    reason: Annotated[ErasureReason, typer.Option(help="Why.")] = ErasureReason.CONSENT_WITHDRAWN,
    actor: AsOption = None,
    scope: ScopeOption = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Destroy text and contact of a rating; the rating itself and every proof stay.

    Name it by its receipt, as the citizen does, or by its event or record, as staff. Again is harmless.
    """
    paths = [
        path
        for given, path in (
            (receipt_code, f"receipts/{receipt_code}/erasure"),
            (event, f"feedback/{event}/erasure"),
            (record, f"vault/{record}/erasure"),
        )
        if given is not None
    ]
    if len(paths) != 1:
        raise LocalError(
            describe(
                f"{len(paths)} names", "a receipt code, --event or --record", "name the rating in one way"
            )
        )
    answer = call(
        "POST",
        f"{find_platform(data, port_base).service_url('intake')}/v1/{paths[0]}",
        body={"reason": reason.value},
        headers=None if receipt_code is not None else identity(actor, scope, "admin"),
    )
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
    elif not answer["erased"]:
        typer.echo("The rating kept neither a text nor a contact: nothing to erase.")
    else:
        again = " (it had been before)" if answer["again"] else ""
        typer.echo(
            f"Record {answer['record']} is destroyed{again}: nobody can read text or contact any more."
        )
