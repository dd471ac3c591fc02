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

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

NEW, RENAMED, MERGED = "U009001", "U000112", "U000124"
"""A window that is registered beside another, one that is renamed, one that is merged into the new one."""
NEW_NAME, OTHER_NAME = "南昌市东湖区第二婚姻登记处", "南昌市东湖区婚姻登记中心"
WITHIN_S = 20.0
ENOUGH = 12
"""Ratings; with fewer than ten nothing is published."""


def rate(platform: Platform, unit: str, ref: str, **more: object) -> httpx.Response:
    body = {"unit_id": unit, "grade": 5, "channel": "qr", "client_ref": f"{unit}-{ref}", **more}
    url = platform.url("intake", "/v1/feedback")
    return httpx.post(url, json=body, auth=platform.proofs, trust_env=False, timeout=30)


def ranked(platform: Platform, unit: str) -> dict[str, Any] | None:
    """The unit's row among the windows of its kind."""
    url = platform.url("scoring", "/v1/rankings?level=window&kind=marriage&window=30&limit=200")
    answer = httpx.get(url, trust_env=False, timeout=30)
    rows = answer.json()["items"] if answer.is_success else []
    return next((row for row in rows if row["unit_id"] == unit), None)


def test_a_loaded_registry_is_in_force_everywhere_within_seconds(
    own_platform: Platform, tmp_path: Path
) -> None:
    platform = own_platform
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="seconds")
    for number in range(ENOUGH):
        assert rate(platform, RENAMED, f"before-{number}").status_code == 202
        assert rate(platform, MERGED, f"before-{number}", occurred_at=yesterday).status_code == 202
    until(lambda: ranked(platform, RENAMED), timeout_s=WITHIN_S, what="it is ranked")
    until(lambda: ranked(platform, MERGED), timeout_s=WITHIN_S, what="the other is ranked")
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
