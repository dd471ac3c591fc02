"""``pingyi trace``: the whole story of a rating."""

import json
from typing import Annotated

import typer

from deploy.local import api
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.errors import ServiceRefusedError
from deploy.local.layout import DEFAULT_DATA, Layout
from services.intake.domain.receipts import parse_receipt_code
from shared.kernel.errors import InvalidValueError

NOT_FOUND = 404


def trace(
    asked: Annotated[
        str,
        typer.Argument(metavar="ID", help="Receipt code, event id or correlation id.", show_default=False),
    ],
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell the whole story of a rating, from its receipt to the last thing that it led to.

    The archive keeps that it was told, and to whom.
    """
    layout = find_platform(data, port_base)
    wanted = event_of_receipt(layout, asked) or asked
    url = f"{layout.service_url('archive')}/v1/trace/{wanted}"
    with api.client() as http:
        form = "json" if as_json else "text"
        answer = api.send(http, "GET", url, params={"format": form})
    typer.echo(json.dumps(answer.json(), ensure_ascii=False) if as_json else answer.text.rstrip("\n"))


def event_of_receipt(layout: Layout, text: str) -> str | None:
    """The rating that a receipt stands for; None if ``text`` is no receipt code, or not one of ours.

    Raises:
        ServiceRefusedError: intake can't tell now.
        LocalError: intake does not answer.
    """
    try:
        parse_receipt_code(text)
    except InvalidValueError:
        return None
    try:
        receipt = api.call("GET", f"{layout.service_url('intake')}/v1/receipts/{text}")
    except ServiceRefusedError as error:
        if error.problem.get("status") == NOT_FOUND:
            return None  # a correlation id may look like one
        raise
    return str(receipt["event_id"])
