"""A registry loaded into a running platform: every service works with it within seconds, by itself."""

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.rectify.domain.opening import case_id_of
from shared.kernel.clock import business_day
from tests.support.platform import Platform, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NEW, RENAMED, MERGED = "U009001", "U000112", "U000124"
"""A window that is registered beside another, one that is renamed, one that is merged into the new one."""
NEW_NAME, OTHER_NAME = "南昌市东湖区第二婚姻登记处", "南昌市东湖区婚姻登记中心"
WITHIN_S = 60.0
COUNTY = "360103"
ENOUGH = 12
"""Ratings; with fewer than ten nothing is published."""


def rate(platform: Platform, unit: str, ref: str, **more: object) -> httpx.Response:
    body = {"unit_id": unit, "grade": 5, "channel": "qr", "client_ref": f"{unit}-{ref}", **more}
    url = platform.url("intake", "/v1/feedback")
    return httpx.post(url, json=body, auth=platform.proofs, trust_env=False, timeout=30)


def ask(
    platform: Platform, method: str, service: str, path: str, *, staff_of: str | None = None, **more: object
) -> httpx.Response:
    """A request of the command line, or of who handles cases at a place."""
    headers = {}
    if staff_of is not None:
        role = "unit.handler" if staff_of.startswith("U") else "county.handler"
        token = platform.pingyi("token", "--role", role, "--region", staff_of).stdout.strip()
        headers["authorization"] = f"Bearer {token}"
    url = platform.url(service, path)
    with httpx.Client(auth=None if headers else platform.proofs, trust_env=False, timeout=30) as http:
        return http.request(method, url, headers=headers, **more)  # type: ignore[arg-type]  # httpx's own


def ranked(platform: Platform, unit: str) -> dict[str, Any] | None:
    """The unit's row among the windows of its kind."""
    url = platform.url("scoring", "/v1/rankings?level=window&kind=marriage&window=30&limit=200")
    answer = httpx.get(url, trust_env=False, timeout=30)
    rows = answer.json()["items"] if answer.is_success else []
    return next((row for row in rows if row["unit_id"] == unit), None)


def test_a_loaded_registry_is_in_force_everywhere_within_seconds(  # noqa: PLR0915 - one platform, one story
    own_platform: Platform, tmp_path: Path
) -> None:
    platform = own_platform
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="seconds")
    for number in range(ENOUGH):
        assert rate(platform, RENAMED, f"before-{number}").status_code == 202
        assert rate(platform, MERGED, f"before-{number}", occurred_at=yesterday).status_code == 202
    until(lambda: ranked(platform, RENAMED), timeout_s=WITHIN_S, what="it is ranked")
    until(lambda: ranked(platform, MERGED), timeout_s=WITHIN_S, what="the other is ranked")
    printed = ask(platform, "POST", "intake", "/v1/tokens", json={"unit_id": MERGED}).json()["token"]
    left = rate(platform, MERGED, "bad", occurred_at=yesterday, grade=2, text="窗口没人").json()["event_id"]
    case_id = case_id_of(left, MERGED)
    until(
        lambda: ask(platform, "GET", "rectify", f"/v1/cases/{case_id}").is_success,
        timeout_s=WITHIN_S,
        what="a case of the unit that will end",
    )
    before = platform.pids()

    today = business_day(datetime.now(UTC))
    table = httpx.get(platform.url("intake", "/v1/registry/units.csv"), trust_env=False).text
    header, *rows = csv.reader(io.StringIO(table))
    for row in rows:
        if row[0] == RENAMED:
            row[1] = OTHER_NAME
    old = next(row for row in rows if row[0] == RENAMED)
    rows.append([NEW, NEW_NAME, *old[2:8], today.isoformat(), ""])
    (tmp_path / "units.csv").write_text("\n".join(",".join(row) for row in [header, *rows]) + "\n", "utf-8")
    (tmp_path / "merges.csv").write_text(f"unit_id,into,on\n{MERGED},{NEW},{today}\n", "utf-8")
    tables = (str(tmp_path / "units.csv"), "--merges", str(tmp_path / "merges.csv"))
    loaded = platform.pingyi_json("registry", "load", *tables, "--by", "province-admin")
    assert (loaded["number"], loaded["changes"]) == (1, 3)

    for number in range(ENOUGH):
        assert rate(platform, NEW, f"after-{number}").status_code == 202, "at once: intake asks nobody"
    refused = rate(platform, MERGED, "too late")
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert (error["field"], error["remedy"].split(",")[0]) == ("unit_id", f"rate {NEW}")
    assert NEW_NAME in error["expected"]
    assert rate(platform, MERGED, "of yesterday", occurred_at=yesterday).status_code == 202
    assert platform.get("intake", f"/v1/units/{MERGED}")["successor"] == NEW
    assert platform.get("intake", f"/v1/units/{NEW}")["predecessors"] == [MERGED]

    state = platform.get("intake", f"/v1/tokens/{printed}")
    assert (state["unit_id"], state["issued_by"]) == (NEW, MERGED), (
        "what was printed is good for the successor"
    )
    assert rate(platform, NEW, "by token", token=printed).status_code == 202
    assert rate(platform, NEW, "again", token=printed).status_code == 409
    issued = platform.pingyi("credential", "issue", "--name", "new-hall", "--channel", "qr", "--region", NEW)
    assert issued.returncode == 0, issued.stderr
    ended = platform.pingyi(
        "credential", "issue", "--name", "old-hall", "--channel", "qr", "--region", MERGED
    )
    assert ended.returncode == 1
    assert f"its successor {NEW}" in ended.stderr
    until(
        lambda: ask(platform, "GET", "rectify", f"/v1/cases/{case_id}", staff_of=NEW).is_success,
        timeout_s=WITHIN_S,
        what="the successor's staff see the case that was left",
    )
    assert ask(platform, "GET", "rectify", f"/v1/cases/{case_id}", staff_of=RENAMED).status_code == 404
    seen = until(
        lambda: ask(platform, "GET", "notify", f"/v1/alerts?unit_id={MERGED}", staff_of=NEW).json()["items"],
        timeout_s=WITHIN_S,
        what="and its alerts",
    )
    of_left = platform.get("notify", "/v1/alerts", unit_id=MERGED)["items"]
    assert {each["alert_id"] for each in seen} <= {each["alert_id"] for each in of_left}
    moves = f"/v1/cases/{case_id}/moves"
    classify = {"move": "classify", "case_class": "B"}
    assert ask(platform, "POST", "rectify", moves, staff_of=COUNTY, json=classify).is_success
    assign = {"move": "assign", "to": {"unit_id": MERGED, "handler": "post-1"}}
    no_more = ask(platform, "POST", "rectify", moves, staff_of=COUNTY, json=assign)
    assert (no_more.status_code, no_more.json()["errors"][0]["field"]) == (422, "to.unit_id")
    assert f"successor {NEW}" in no_more.text

    until(lambda: ranked(platform, NEW), timeout_s=WITHIN_S, what="the new unit is ranked")
    shown = ranked(platform, RENAMED)
    assert shown is not None
    assert shown["name"] == OTHER_NAME
    assert ranked(platform, MERGED) is None, "it has ended"
    assert platform.get("scoring", f"/v1/units/{NEW}/score")["predecessors"] == [MERGED]
    for path in ("score", "history"):
        assert platform.get("scoring", f"/v1/units/{MERGED}/{path}")["successor"] == NEW
    days = platform.get("scoring", f"/v1/units/{MERGED}/history")["items"]
    assert any(day["ratings"] for day in days), "what it got stays its own"
    after = platform.pids()
    assert {name for name in before if before[name] != after[name]} == {"scoring"}
    assert "registry 1 was loaded: started anew with it" in platform.log_tail("scoring", 400)
    assert "scoring ended with code 5" in platform.log_tail("supervisor", 400)
    assert platform.pingyi("recompute").returncode == 0
    letters = platform.pingyi("deadletter", "list", "--json")
    assert letters.stdout == "", "no rating of the new unit was given up"

    bad = rate(platform, NEW, "bad", grade=1, text="窗口没人").json()
    alert = until(
        lambda: next(
            (
                each
                for each in platform.get("notify", "/v1/alerts", unit_id=NEW)["items"]
                if each["rule"] == "bad_review"
            ),
            None,
        ),
        timeout_s=WITHIN_S,
        what="somebody is told of a bad review of the new unit",
    )
    assert alert["unit_name"] == NEW_NAME
    case = until(
        lambda: platform.get("rectify", "/v1/cases", unit_id=NEW)["items"],
        timeout_s=WITHIN_S,
        what="a case of the new unit",
    )
    assert [each["case_id"] for each in case] == [case_id_of(bad["event_id"], NEW)]
