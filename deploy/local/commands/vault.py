"""``pingyi vault``: the keys that people's data are under; how they stand, new ones, and old ones gone."""

import json
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from deploy.local.api import call
from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.errors import LocalError
from deploy.local.key_rotation import (
    add_pseudonym_key,
    add_vault_key,
    pseudonyms_overlap_days,
    pseudonyms_removable_from,
    remove_pseudonym_key,
    remove_vault_key,
)
from deploy.local.layout import DEFAULT_DATA, Layout
from shared.auth.key_files import load_keys
from shared.auth.secrets import HMAC_FILE
from shared.kernel.clock import SystemClock, business_day
from shared.kernel.errors import describe
from shared.rules import load_pack

POLL_S: Final = 0.5
SEEN_WITHIN_S: Final = 60.0

SecretsOption = Annotated[
    Path | None,
    typer.Option("--secrets", metavar="DIR", help="Directory of the key files; the platform's own."),
]
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Id of an earlier key.")]

vault = typer.Typer(no_args_is_help=True, help="The keys that people's data are under.")


@vault.command("status")
def status(
    secrets: SecretsOption = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the live keys, how many records are under each, and which earlier ones can go."""
    layout = find_platform(data, port_base)
    kept, pseudonyms = _state(layout), _pseudonyms(secrets or layout.secrets)
    if as_json:
        typer.echo(json.dumps({"vault": kept, "pseudonyms": pseudonyms}, ensure_ascii=False))
        return
    for key in kept["keys"]:
        records = "?" if kept["records"] is None else kept["records"].get(key, 0)
        role = "newest" if key == kept["newest"] else "can go" if key in kept["removable"] else "needed"
        typer.echo(f"vault       {key:<16} {records} records, {role}")
    if kept["passed_at"] is not None:
        typer.echo(
            f"Records were counted at {kept['passed_at']}; intake does so daily and after a change of keys."
        )
    for each in pseudonyms:
        role = "newest" if each["newest"] else f"needed up to {each['removable_from'] or 'an unknown day'}"
        typer.echo(f"pseudonyms  {each['key']:<16} {role}")


@vault.command("rotate")
def rotate(
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until every record is under the new key.")
    ] = True,
    secrets: SecretsOption = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a new key to the vault; intake takes it up by itself and wraps every record again under it.

    May be cut off: intake goes on, also after a restart. Says when the old key can go.
    """
    layout = find_platform(data, port_base)
    ring = add_vault_key(secrets or layout.secrets, business_day(SystemClock().now()))
    newest = ring.newest.key_id
    if not as_json:
        typer.echo(f"New records go under {newest}. Back the key file up now, apart from the data.")
    state = _await_pass(layout, newest) if wait else _state(layout)
    if as_json:
        typer.echo(json.dumps(state, ensure_ascii=False))
        return
    for key in state["removable"]:
        typer.echo(f"No record is under {key} any more: `pingyi vault retire {key}` destroys it.")
    if not state["removable"]:
        typer.echo("`pingyi vault status` says when the old key can go.")


@vault.command("retire")
def retire(
    key: KeyArgument,
    secrets: SecretsOption = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
) -> None:
    """Destroy an earlier key of the vault that no record is under any more."""
    layout = find_platform(data, port_base)
    state = _state(layout)
    if key not in state["removable"]:
        free = ", ".join(state["removable"]) or "none"
        raise LocalError(
            describe(key, f"an earlier key that can go: {free}", "wait for `pingyi vault status` to say so")
        )
    remove_vault_key(secrets or layout.secrets, key)
    typer.echo(f"{key} is destroyed. Destroy its copies in backups of the keys, too.")


@vault.command("rotate-pseudonyms")
def rotate_pseudonyms(
    secrets: SecretsOption = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
) -> None:
    """Add a new key of pseudonyms; every intake has to be started again to take it up.

    Ratings carry both keys' pseudonyms from then on, until the old key is retired.
    """
    directory = secrets or find_platform(data, port_base).secrets
    ring = add_pseudonym_key(directory, business_day(SystemClock().now()))
    days = _overlap_days()
    typer.echo(
        f"New pseudonyms are made under {ring.newest.key_id} once intake was started again. "
        f"Back the key files up now. Earlier keys are needed for {days} days more."
    )


@vault.command("retire-pseudonyms")
def retire_pseudonyms(
    key: KeyArgument,
    secrets: SecretsOption = None,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
) -> None:
    """Destroy an earlier key of pseudonyms once no rating can refer to it; then start intake again."""
    directory = secrets or find_platform(data, port_base).secrets
    remove_pseudonym_key(directory, key, business_day(SystemClock().now()), _overlap_days())
    typer.echo(f"{key} is destroyed: nobody can guess any more who its pseudonyms were. Receipts stay valid.")


def _overlap_days() -> int:
    return pseudonyms_overlap_days(load_pack(None, business_day(SystemClock().now())).windows)


def _state(layout: Layout) -> dict[str, Any]:
    answer: dict[str, Any] = call("GET", f"{layout.service_url('intake')}/v1/vault")
    return answer


def _await_pass(layout: Layout, newest: str) -> dict[str, Any]:
    """What intake says once it has gone through the vault with the new key."""
    deadline_s = time.monotonic() + SEEN_WITHIN_S
    while True:
        state = _state(layout)
        if state["newest"] == newest:
            if state["passed_at"] is not None:
                return state
        elif time.monotonic() > deadline_s:
            raise LocalError(
                describe(
                    f"an intake under {state['newest']}",
                    f"one that has taken {newest} up",
                    "check that it reads this key file, then look at `pingyi vault status`",
                )
            )
        time.sleep(POLL_S)


def _pseudonyms(directory: Path) -> list[dict[str, Any]]:
    if not (directory / HMAC_FILE).exists():
        return []
    ring, days = load_keys(directory / HMAC_FILE), _overlap_days()
    found = []
    for key in ring:
        free_from = pseudonyms_removable_from(ring, key.key_id, days)
        found.append(
            {
                "key": key.key_id,
                "newest": key is ring.newest,
                "removable_from": None if free_from is None else free_from.isoformat(),
            }
        )
    return found
