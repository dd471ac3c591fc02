"""``pingyi sanctions`` and ``nominations``: what they ask, and what they show of the answer."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.local.cli import make_app
from deploy.local.commands import sanctions
from deploy.local.layout import Layout

SANCTION: dict[str, Any] = {
    "sanction_id": "s1", "unit_id": "U000532", "ground": "U", "step": 2, "measure": "通报批评", "veto": None,
    "year": None, "status_label": "已签发", "strikes": ["k1", "k2"], "appeal_until": "2026-12-03T01:30:00Z",
    "open_moves": ["appeal"], "rests_on": ["e1", "e2"],
    "counted": [{"basis": "overdue", "case_id": "c1", "occurred_at": "2026-11-25", "ended": "case_annulled"}],
}  # fmt: skip
NOMINATION = {
    "nomination_id": "n1", "list": "window.marriage.2026Q4", "rank": 3, "unit_id": "U000532",
    "status": "open", "awaits": "city",
}  # fmt: skip

REGION = dict.fromkeys(
    ("opened", "closed", "open", "overdue", "strikes", "unsigned", "appeals", "nominations"), 2
)
SIGNED = {
    "quarter": "2026Q4", "city": "3607", "county": "all", "by": "city-supervisor", "revision": 2,
    "signed_at": "2027-01-06T03:00:00Z", "regions": [REGION, REGION],
}  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """What was asked of the service, which answers with one sanction or nomination."""
    found: list[tuple[str, str, dict[str, Any]]] = []

    def call(method: str, url: str, **given: Any) -> Any:  # noqa: ANN401 - JSON
        found.append((method, url.split("/v1/")[1], given))
        one = NOMINATION if "nominations" in url else SANCTION
        if method == "POST" and "checks" in url:
            return SIGNED
        if url.endswith("/checks"):
            return {"items": [SIGNED]}
        if "checks" in url:
            return {"items": [], "campaigns": [{"campaign_id": "x", "phase": "run", "ends": "2026-12-31"}]}
        return one if method == "POST" or url.endswith("/s1") else {"items": [one]}

    monkeypatch.setattr(sanctions, "call", call)
    monkeypatch.setattr(sanctions, "find_platform", lambda *_: Layout(tmp_path))
    return found


def run(*arguments: str) -> str:
    answer = CliRunner().invoke(make_app(arguments[0]), list(arguments))
    assert answer.exit_code == 0, answer.output
    return answer.output


def test_a_sanction_is_shown_with_what_it_rests_on(asked: list[Any]) -> None:
    assert run("sanctions", "list", "--status", "signed").split()[:4] == ["s1", "U000532", "U2", "通报批评"]
    assert asked[-1][2]["params"]["status"] == "signed"
    shown = run("sanctions", "show", "s1")
    assert "fell away: case_annulled" in shown
    assert "rests on e2" in shown


@pytest.mark.parametrize(
    ("arguments", "path", "body"),
    [
        (["sign", "s1"], "sanctions/s1/signature", {}),
        (
            ["reject", "s1", "--reason", "facts_wrong", "--evidence", "f:1", "--by", "me"],
            "sanctions/s1/rejection",
            {"reason": "facts_wrong", "evidence": ["f:1"], "by": "me"},
        ),
        (["appeal", "s1", "--reason", "procedure"], "sanctions/s1/appeal", {"reason": "procedure"}),
        (["decide", "s1", "--grant"], "sanctions/s1/decision", {"granted": True}),
        (["decide", "s1", "--refuse"], "sanctions/s1/decision", {"granted": False}),
    ],
)
def test_a_decision_is_asked_for_as_the_service_takes_it(
    asked: list[Any], arguments: list[str], path: str, body: dict[str, Any]
) -> None:
    run("sanctions", *arguments, "--etag", '"7"')
    assert asked == [("POST", path, {"body": body, "headers": {"If-Match": '"7"'}})]


def test_nominations_and_checks_are_shown(asked: list[Any]) -> None:
    assert "#3" in run("nominations", "list", "--period", "2026Q4")
    assert "awaits city" in run("nominations", "confirm", "n1")
    assert asked[-1][1] == "nominations/n1/confirmation"
    assert "campaign x: run" in run("sanctions", "check", "2026Q4")


def test_a_check_is_signed_and_listed_with_its_sums(asked: list[Any]) -> None:
    line = "2026Q4 3607  opened 4, closed 4, open 4, overdue 4"
    assert line in run("sanctions", "check", "2026Q4", "--sign")
    assert asked[-1] == ("POST", "checks/2026Q4", {"body": {}})
    listed = run("sanctions", "checks", "--quarter", "2026Q4")
    assert line in listed
    assert "signed by city-supervisor at 2027-01-06T03:00:00Z, revision 2" in listed
