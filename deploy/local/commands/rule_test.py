"""``pingyi rules test``: what a rule would have raised between two days, by any pack; nothing is sent."""

import asyncio
import json
from dataclasses import asdict
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.errors import LocalError
from deploy.local.history.alerts import Asked, replay_rule
from deploy.local.layout import DEFAULT_DATA
from deploy.local.showing import visible
from services.notify.domain.alert import Alert
from services.notify.domain.catalogue import RULES
from shared.kernel.clock import SHANGHAI, SystemClock, business_day, rfc3339
from shared.kernel.errors import describe
from shared.kernel.units import load_units
from shared.rules import load_pack


def rule_test(
    rule: Annotated[str, typer.Argument(help="Name of the rule: bad_review, surge …")],
    start: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day; a week ago.")
    ] = None,
    end: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, with it; today.")
    ] = None,
    rules_path: Annotated[
        Path | None, typer.Option("--rules", help="A pack to try, or a folder; the committed ones.")
    ] = None,
    archive: Annotated[bool, typer.Option("--archive", help="Read the archive, for older days.")] = False,
    data: DataOption = DEFAULT_DATA,
    port_base: PortBaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay history through one rule and show what it would have raised, each alert once."""
    today = business_day(SystemClock().now())
    first = start.date() if start else today - timedelta(days=7)
    last = end.date() if end else today
    if last < first:
        raise LocalError(describe(str(last), f"a day from {first} on in --to", "correct the days"))
    pack = load_pack(rules_path, last)
    asked = Asked(rule, _midnight(first), _midnight(last + timedelta(days=1)), pack, archive)
    layout = find_platform(data, port_base)
    found, looked = asyncio.run(replay_rule(layout, asked, load_units(layout.units_path)))
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "rule": rule,
                    "from": str(first),
                    "to": str(last),
                    "rules": pack.hash,
                    "events": looked,
                    "alerts": [_out(each) for each in found],
                },
                ensure_ascii=False,
            )
        )
        return
    typer.echo(f"{rule} from {first} to {last}, pack {pack.version}: {RULES[rule].condition(pack)}")
    for each in found:
        figures = ", ".join(f"{name}={value}" for name, value in each.figures.items())
        typer.echo(f"{rfc3339(each.known_at)}  {each.severity.value:8}  {visible(each.title)}  ({figures})")
    typer.echo(f"{len(found)} alerts of {looked} events.")


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), SHANGHAI).astimezone(UTC)


def _out(alert: Alert) -> dict[str, Any]:
    fields = asdict(alert) | {"known_at": rfc3339(alert.known_at), "severity": alert.severity.value}
    return {**fields, "evidence": list(alert.evidence)}
