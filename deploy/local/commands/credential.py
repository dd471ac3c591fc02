"""``pingyi credential``: keys of channel systems; services take a change up within a second."""

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.local.commands.options import DataOption, JsonOption
from deploy.local.errors import LocalError
from deploy.local.layout import AUTH, DEFAULT_DATA, Layout
from deploy.local.registry_in_force import InForce, registry_in_force
from deploy.local.secrets import PROVINCE
from shared.auth.credential_file import CREDENTIALS_FILE, CredentialFile, Order
from shared.auth.credentials import Credential, Signing
from shared.auth.principals import Duty, Place, Scope
from shared.kernel.clock import business_day, rfc3339
from shared.kernel.errors import describe
from shared.kernel.grades import Channel

credential = typer.Typer(no_args_is_help=True, help="Keys of channel systems: issue, rotate, revoke, list.")

CredentialId = Annotated[str, typer.Argument(metavar="ID", help="Id of the credential, see `list`.")]
FileOption = Annotated[
    Path | None, typer.Option("--file", help="Credentials file; that of the platform's secrets if left out.")
]


@credential.command("issue")
def issue(
    name: Annotated[str, typer.Option(help="The system, such as hotline-3607; never a person's name.")],
    channel: Annotated[list[Channel], typer.Option(help="Channel that it submits; repeat the option.")],
    *,
    region: Annotated[
        str,
        typer.Option(
            help="Only units there: a division's code, or a unit's id; checked with the registry in force."
        ),
    ] = PROVINCE,
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Good for so many days; else until revoked")
    ] = None,
    signing: Annotated[Signing, typer.Option(help="Whether it signs its requests.")] = Signing.NEVER,
    file: FileOption = None,
    data: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """Issue a key and show it, once: it is stored nowhere."""
    now = datetime.now(UTC)
    scope = Scope.parse(region)
    _require_units(scope, registry_in_force(data), business_day(now))
    until = None if days is None else now + timedelta(days=days)
    order = Order(name, Duty.CHANNEL, frozenset(channel), scope, signing, until)
    made, key = _opened(file, data).issue(order, now)
    _show_key(made, key, as_json=as_json)


@credential.command("rotate")
def rotate(
    credential_id: CredentialId,
    *,
    overlap_hours: Annotated[
        float, typer.Option(min=0, max=8760, help="How long the key before stays good beside the new one.")
    ] = 72,
    file: FileOption = None,
    data: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """Make a new key under the same id and show it, once; the one before runs out."""
    overlap = timedelta(hours=overlap_hours)
    made, key = _opened(file, data).rotate(credential_id, overlap, datetime.now(UTC))
    _show_key(made, key, as_json=as_json)


@credential.command("revoke")
def revoke(credential_id: CredentialId, *, file: FileOption = None, data: DataOption = DEFAULT_DATA) -> None:
    """End a credential at once and for good."""
    ended = _opened(file, data).revoke(credential_id, datetime.now(UTC))
    typer.echo(f"{ended.credential_id} ({ended.name}) is revoked.")


@credential.command("list")
def list_(*, file: FileOption = None, data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """Show every credential: nothing of its secrets."""
    known = _opened(file, data).read()
    now = datetime.now(UTC)
    if as_json:
        typer.echo(json.dumps([_as_json(each, now) for each in known], ensure_ascii=False))
        return
    for line in _lines(known, now):
        typer.echo(line)


def _require_units(scope: Scope, registry: InForce, today: date) -> None:
    """Make sure that there is something to rate where a credential is for: a mistyped region sees nothing."""
    if scope.unit_id is not None:
        unit = registry.units.get(scope.unit_id)
        if unit.valid_to is not None and unit.valid_to <= today:
            heir = registry.units.heir(unit, today)
            such_as = "" if heir is None else f", such as its successor {heir.unit_id} ({heir.name})"
            raise LocalError(
                describe(
                    f"{unit.unit_id}, which ended on {unit.valid_to}",
                    f"a unit that goes on{such_as}",
                    f"name it with --region; asked was {registry.about}",
                )
            )
        return
    name = registry.divisions.latest(scope.code).name
    if not any(scope.sees(Place.of_unit(unit)) for unit in registry.units):
        raise LocalError(
            describe(
                f"{scope.code} ({name})",
                "a division that has units",
                "name the code that its units are registered under (GET /v1/units shows it), or load them "
                f"first with `pingyi registry load`; asked was {registry.about}",
            )
        )


def _opened(file: Path | None, data: Path) -> CredentialFile:
    return CredentialFile(file or Layout(data.resolve()).secrets / AUTH / CREDENTIALS_FILE)


def _show_key(made: Credential, key: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"id": made.credential_id, "name": made.name, "key": key}))
        return
    typer.echo(f"Credential {made.credential_id} ({made.name}). Its key, shown only now:", err=True)
    typer.echo(key)


def _as_json(each: Credential, now: datetime) -> dict[str, Any]:
    return {
        "id": each.credential_id,
        "name": each.name,
        "role": each.duty.value,
        "channels": sorted(each.channels),
        "region": each.scope.code,
        "signing": each.signing.value,
        "valid_to": None if each.valid_to is None else rfc3339(each.valid_to),
        "state": each.why_not(now) or "valid",
        "live_keys": sum(secret.expires_at is None or secret.expires_at > now for secret in each.secrets),
    }


def _lines(known: Iterable[Credential], now: datetime) -> Iterable[str]:
    for each in known:
        row = _as_json(each, now)
        channels = ",".join(row["channels"]) if len(row["channels"]) < len(Channel) else "all channels"
        yield (
            f"{row['id']}  {row['name']:<20} {row['role']:<8} {row['region']:<8} "
            f"signing {row['signing']:<9} {row['live_keys']} key(s)  {row['state']}  {channels}"
        )
