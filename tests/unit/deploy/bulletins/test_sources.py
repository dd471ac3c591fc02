"""What is asked of the services, played by answers as they give them."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from deploy.local import api
from deploy.local.bulletins import sources
from deploy.local.bulletins.periods import Span
from deploy.local.bulletins.sources import gather
from deploy.local.cli import make_app
from deploy.local.errors import LocalError
from deploy.local.layout import Layout
from tests.unit.deploy.bulletins.support import CITY, cases, head, history, row

UNITS = {
    "province": [{"unit_id": "U000001", "name": "江西省民政厅", "level": "province", "division": "360000"}],
    "city": [CITY],
    "county": [
        {"unit_id": f"U00001{n}", "name": f"第{n}区民政局", "level": "county", "division": f"36010{n}"}
        for n in range(1, 4)
    ],
}


class Platform:
    """Plays the services; `revised` lists are revised once between two of their pages."""

    def __init__(self, *, revised: bool = False) -> None:
        self.asked: list[str] = []
        self.revised = revised

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path, params = request.url.path, dict(request.url.params)
        self.asked.append(f"{path}?{request.url.params}")
        if path == "/v1/units":
            return httpx.Response(200, json={"items": UNITS[params["level"]], "next": None})
        if path == "/v1/rankings":
            return self._ranking(params)
        if path.endswith("/history"):
            return httpx.Response(200, json=history())
        if path == "/v1/bulletins/cases":
            return httpx.Response(200, json=cases())
        return httpx.Response(404, json={"status": 404, "title": "Not found", "detail": path})

    def _ranking(self, params: dict[str, str]) -> httpx.Response:
        if params.get("period") == "2026-09":
            return httpx.Response(422, json={"status": 422, "title": "No such period", "detail": ""})
        if self.revised and "cursor" in params:
            self.revised = False
            return httpx.Response(409, json={"status": 409, "title": "Revised", "detail": ""})
        own = params["level"] == "city"
        items = [row(1, unit_id=CITY["unit_id"])] if own else [row(2 if "cursor" in params else 1)]
        following = None if own or "cursor" in params else "more"
        key = f"{params['level']}.all.{params.get('period') or params['window']}"
        body: dict[str, Any] = head(key) | {"items": items, "next": following}
        return httpx.Response(200, json=body)


def use(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    def client(_timeout_s: float = 1.0) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(platform))

    monkeypatch.setattr(sources, "client", client)
    monkeypatch.setattr(api, "client", client)


@pytest.mark.parametrize("revised", [False, True])
def test_lists_are_read_to_their_end_and_anew_if_they_were_revised_meanwhile(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    revised: bool,  # noqa: FBT001 - a table's column
) -> None:
    platform = Platform(revised=revised)
    use(platform, monkeypatch)
    found = gather(Layout(tmp_path), Span.parse("2026-10"), "360100")
    assert [(board.level, len(board.rows), board.before) for board in found.boards] == [
        ("county", 2, None),
        ("window", 2, None),
    ]
    assert found.own[1]["unit_id"] == CITY["unit_id"]
    assert found.names["360102"] == "第2区民政局"
    assert any("parent=U000002" in asked and "level=window" in asked for asked in platform.asked)
    assert any("first=2026-10-01" in asked and "last=2026-10-31" in asked for asked in platform.asked)


def test_the_last_days_are_compared_with_as_many_days_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = Platform()
    use(platform, monkeypatch)
    gather(Layout(tmp_path), Span.parse("30d"), "360000")
    assert any("at=2026-10-27" in asked for asked in platform.asked)
    assert any("first=2026-10-28" in asked and "last=2026-11-26" in asked for asked in platform.asked)


def test_a_region_without_units_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(Platform(), monkeypatch)
    with pytest.raises(LocalError, match="360900"):
        gather(Layout(tmp_path), Span.parse("2026-10"), "360900")


def test_a_file_that_nobody_published_is_said_to_be_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(Platform(), monkeypatch)
    file = tmp_path / "x.pdf"
    file.write_bytes(b"%PDF-1.7")
    arguments = ["bulletin", "verify", str(file), "--data", str(tmp_path), "--port-base", "9500"]
    answer = CliRunner().invoke(make_app("bulletin"), arguments)
    assert (answer.exit_code, "NOT PUBLISHED" in answer.output) == (1, True)
