"""``pingyi submit``: hand in one rating, as a channel would."""

import json
from typing import Annotated

import typer

from deploy.local.api import call
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.layout import DEFAULT_DATA


def submit(
    unit_id: Annotated[str, typer.Argument(help="Unit to rate, for example U000112.")],
    grade: Annotated[int, typer.Argument(help="5 very satisfied 非常满意 … 1 very dissatisfied 非常不满意.")],
    text: Annotated[str | None, typer.Option(help="Comment; scrubbed and sealed by intake.")] = None,
    channel: Annotated[str, typer.Option(help="Channel that it comes through.")] = "web",
    source: Annotated[str, typer.Option(help="Which of the five sources.")] = "public",
    transaction_id: Annotated[str | None, typer.Option(help="Number of the transaction 办件号.")] = None,
    token: Annotated[str | None, typer.Option(help="One-time token, which proves the service.")] = None,
    client_ref: Annotated[str | None, typer.Option(help="The channel's own reference.")] = None,
    phone: Annotated[str | None, typer.Option(help="Contact for call-back; goes to the vault.")] = None,
    occurred_at: Annotated[
        str | None, typer.Option(help="When it happened, RFC 3339; now by default.")
    ] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="Repeat with the same key is safe.")] = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hand in one rating and print its receipt."""
    layout = find_platform(data, port_base)
    body = {
        "unit_id": unit_id,
        "grade": grade,
        "text": text,
        "channel": channel,
        "source": source,
        "transaction_id": transaction_id,
        "token": token,
        "client_ref": client_ref,
        "contact": {"phone": phone} if phone else None,
        "occurred_at": occurred_at,
    }
    answer = call(
        "POST",
        f"{layout.service_url('intake')}/v1/feedback",
        body={name: value for name, value in body.items() if value is not None},
        headers=None if idempotency_key is None else {"Idempotency-Key": idempotency_key},
    )
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    again = " (was accepted before)" if answer.get("duplicate") else ""
    typer.echo(f"Accepted{again}. Receipt {answer['receipt_code']}, event {answer['event_id']}.")
