"""``pingyi status``: what runs, and whether it is ready."""

import json
import socket
from dataclasses import asdict, dataclass

import httpx
import typer
from rich.console import Console
from rich.table import Table

from deploy.local.commands.options import DataOption, JsonOption, PortBaseOption, find_platform
from deploy.local.embedded.ports import LOOPBACK
from deploy.local.layout import DEFAULT_DATA, SERVICES, Layout
from deploy.local.platform_file import PlatformRecord, read_running
from deploy.local.showing import shown

PROBE_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One service or server as seen from here."""

    name: str
    ready: bool
    detail: str
    url: str
    pid: int | None
    restarts: int | None


def status(
    data: DataOption = DEFAULT_DATA, port_base: PortBaseOption = None, as_json: JsonOption = False
) -> None:
    """Show what runs and whether it is ready; exit code 1 unless everything is."""
    layout = find_platform(data, port_base)
    record = read_running(layout.platform_file)
    parts = probe(layout, record)
    state = record.state if record else "unknown"
    if as_json:
        answer = {"state": state, "pid": record.pid if record else None, "parts": [asdict(p) for p in parts]}
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        _print(state, record, parts)
    raise typer.Exit(0 if all(part.ready for part in parts) else 1)


def probe(layout: Layout, record: PlatformRecord | None) -> list[PartStatus]:
    """Ask every service of the platform, and its own broker, whether it is ready."""
    targets = {
        name: f"{layout.service_url(name)}/readyz" for name in (record.services if record else SERVICES)
    }
    if layout.nats_monitor_url:
        targets["nats"] = f"{layout.nats_monitor_url}/healthz"
    parts = []
    with httpx.Client(timeout=PROBE_TIMEOUT_S, trust_env=False) as client:
        for name, url in targets.items():
            child = record.children.get(name) if record else None
            ready, detail = _ask(client, url)
            parts.append(
                PartStatus(
                    name=name,
                    ready=ready,
                    detail=detail,
                    url=url,
                    pid=child.pid if child else None,
                    restarts=child.restarts if child else None,
                )
            )
    if not layout.external:
        parts.append(_mongod(layout, record))
    return parts


def _mongod(layout: Layout, record: PlatformRecord | None) -> PartStatus:
    """Mongod speaks no HTTP; the archive's readiness tells whether it works, this only whether it listens."""
    child = record.children.get("mongod") if record else None
    try:
        socket.create_connection((LOOPBACK, layout.mongo_port), timeout=PROBE_TIMEOUT_S).close()
    except OSError as error:
        ready, detail = False, f"no answer: {error}"
    else:
        ready, detail = True, "listens"
    return PartStatus(
        name="mongod",
        ready=ready,
        detail=detail,
        url=f"{LOOPBACK}:{layout.mongo_port}",
        pid=child.pid if child else None,
        restarts=child.restarts if child else None,
    )


def _ask(client: httpx.Client, url: str) -> tuple[bool, str]:
    try:
        answer = client.get(url)
    except httpx.HTTPError as error:
        return False, f"no answer: {error}"
    return answer.status_code == httpx.codes.OK, _summary(answer)


def _summary(answer: httpx.Response) -> str:
    """The checks that are not well, by name, or ``ok``."""
    try:
        checks: dict[str, dict[str, str]] = answer.json().get("checks", {})
    except (ValueError, AttributeError):
        return answer.text.strip()
    unwell = [
        f"{name} {check['status']}: {check.get('detail', '')}"
        for name, check in checks.items()
        if check.get("status") != "ok"
    ]
    return "; ".join(unwell) or "ok"


def _print(state: str, record: PlatformRecord | None, parts: list[PartStatus]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if record:
        console.print(f"{state}, supervisor pid {record.pid}, data {record.data}, since {record.started_at}")
    table = Table(box=None, pad_edge=False)
    for heading in ("part", "ready", "pid", "restarts", "answer"):
        table.add_column(heading)
    for part in parts:
        ready = "[green]yes[/]" if part.ready else "[red]no[/]"
        detail = shown(part.detail[:100])
        table.add_row(part.name, ready, _shown(part.pid), _shown(part.restarts), detail)
    console.print(table)


def _shown(number: int | None) -> str:
    return "-" if number is None else str(number)
