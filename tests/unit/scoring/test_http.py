"""The HTTP side over published lists, without a broker."""

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest

from services.scoring.application.handlers import ReadRankings
from services.scoring.bootstrap import create_app
from services.scoring.domain.lists import Row
from services.scoring.settings import Settings
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Level
from shared.kernel.ids import UnitId
from shared.kernel.units import UnitRegistry, load_units
from tests.unit.scoring.serving import TODAY, UNITS, WINDOWS, app, get, stored


def shown(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows as JSON gives them back."""
    made: list[dict[str, Any]] = json.loads(json.dumps([row._asdict() for row in rows]))
    return made


async def test_a_ranking_says_what_it_is_and_shows_the_number_that_it_is_sorted_by() -> None:
    answer = (await get("/v1/rankings", level="window", kind="marriage", window=90)).json()
    found = stored().lists["window.marriage.90"]
    assert answer["list"] == "window.marriage.90"
    assert (answer["level"], answer["kind"], answer["window_days"]) == ("window", "marriage", 90)
    assert answer["sorted_by"] == "score"
    assert (answer["publish_from"], answer["rank_from"]) == (10, 30)
    assert answer["list_hash"] == found.hash
    assert answer["positions"] == {"FEEDBACK": 9000}
    assert answer["computed_at"] == "2026-11-20T04:00:00.000Z"
    assert answer["items"] == shown(found.rows)
    assert answer["next"] is None
    scores = [row["score"] for row in answer["items"] if row["rank"] is not None]
    assert scores == sorted(scores, reverse=True)
    assert answer["priors"]["window.marriage"]["units"] > 0


async def test_left_out_parameters_give_the_counties_of_the_last_month() -> None:
    assert (await get("/v1/rankings")).json()["list"] == "county.all.30"
    assert (await get("/v1/rankings", window="7d", kind="all")).json()["list"] == "county.all.7"


async def test_a_period_is_asked_for_by_its_label() -> None:
    answer = (await get("/v1/rankings", level="city", period="2026Q4")).json()
    assert (answer["list"], answer["period"], answer["window_days"]) == ("city.all.2026Q4", "2026Q4", 92)
    assert (await get("/v1/rankings")).json()["period"] is None


async def test_a_list_names_its_ends_and_its_weights() -> None:
    answer = (await get("/v1/rankings", level="window", window=90)).json()
    ranked = [row["unit_id"] for row in answer["items"] if row["rank"] is not None]
    assert ranked
    assert (answer["top"], answer["bottom"]) == (ranked[:10], ranked[10:][-3:])
    assert answer["composite_weights"]["public"] == 0.7


async def test_the_units_below_a_city_come_in_pages_of_their_own() -> None:
    city = UNITS.by_level(Level.CITY)[0]
    whole = (await get("/v1/rankings", level="window", parent=city.unit_id, limit=2000)).json()
    assert whole["parent"] == city.unit_id
    assert (whole["units"], whole["top"]) == (
        108,
        [row["unit_id"] for row in whole["items"] if row["rank"]][:10],
    )
    assert {UNITS.get(row["unit_id"]).city for row in whole["items"]} == {city.city}
    first = (await get("/v1/rankings", level="window", parent=city.unit_id, limit=100)).json()
    last = (
        await get("/v1/rankings", level="window", parent=city.unit_id, limit=100, cursor=first["next"])
    ).json()
    assert first["items"] + last["items"] == whole["items"]
    assert last["next"] is None
    others: list[dict[str, Any]] = [{}, {"parent": UNITS.by_level(Level.CITY)[1].unit_id}]
    for other in others:
        refused = await get("/v1/rankings", level="window", cursor=first["next"], **other)
        assert refused.status_code == 422
    assert (await get("/v1/rankings", parent="U999999")).status_code == 404


async def test_pages_make_up_the_whole_list() -> None:
    rows, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        more: dict[str, Any] = {} if cursor is None else {"cursor": cursor}
        answer = (await get("/v1/rankings", level="window", limit=500, **more)).json()
        rows += answer["items"]
        cursor, pages = answer["next"], pages + 1
    assert pages == 3
    assert rows == shown(stored().lists["window.all.30"].rows)


async def test_a_cursor_of_another_list_is_refused() -> None:
    cursor = (await get("/v1/rankings", level="window", limit=5)).json()["next"]
    response = await get("/v1/rankings", level="window", window="7", cursor=cursor)
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["field"] == "cursor"
    assert "window.all.7" in error["expected"]
    assert "first page" in error["remedy"]


async def test_a_list_that_was_revised_between_two_pages_is_begun_again() -> None:
    cursor = (await get("/v1/rankings", level="window", limit=5)).json()["next"]
    key = "window.all.30"
    before = stored().lists[key]
    revised = replace(before, head={**before.head, "list_hash": "0" * 64})
    made = app(lambda: replace(stored(), lists={**stored().lists, key: revised}))
    response = await get("/v1/rankings", made, level="window", limit=5, cursor=cursor)
    assert response.status_code == 409
    (error,) = response.json()["errors"]
    assert (error["field"], "first page" in error["remedy"]) == ("cursor", True)
    assert (await get("/v1/rankings", level="window", limit=5, cursor=cursor)).status_code == 200


@pytest.mark.parametrize("start", [-1, 0, 10_000, True, 1.5, "5"])
async def test_a_made_up_place_in_the_right_list_is_refused(start: object) -> None:
    found = stored().lists["county.all.30"]
    raw = json.dumps([found.key, found.hash[:16], start])
    cursor = base64.urlsafe_b64encode(raw.encode()).decode()
    assert (await get("/v1/rankings", cursor=cursor)).status_code == 422


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"level": "street"}, "window, county, city, province"),
        ({"period": "2026-09"}, "one of 2026-10, 2026-11, 2026Q4, 2026"),
        ({"period": "2026-11", "window": "30"}, "leave one of them out"),
        ({"level": "city", "parent": WINDOWS[0].unit_id}, "a level above city: province"),
        ({"level": "county", "kind": "marriage"}, "one of all"),
        ({"level": "window", "kind": "wedding"}, "marriage"),
        ({"window": "31"}, "7, 30, 90, 365"),
        ({"cursor": "x"}, "`next` of an earlier answer"),
        ({"cursor": "100"}, "`next` of an earlier answer"),
        ({"cursor": "WzEsMl0"}, "`next` of an earlier answer"),
        ({"cursor": "W1tdLFtdLFtdXQ"}, "`next` of an earlier answer"),
    ],
)
async def test_what_does_not_exist_is_answered_with_what_does(params: dict[str, Any], names: str) -> None:
    response = await get("/v1/rankings", **params)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert names in response.json()["detail"]


@pytest.mark.parametrize("limit", [0, 2001])
async def test_a_limit_out_of_range_is_refused(limit: int) -> None:
    assert (await get("/v1/rankings", limit=limit)).status_code == 422


async def test_a_units_scores_are_its_rows_in_every_window() -> None:
    unit = WINDOWS[0]
    answer = (await get(f"/v1/units/{unit.unit_id}/score")).json()
    assert (answer["name"], answer["kind"]) == (unit.name, unit.kind)
    assert [each["window_days"] for each in answer["windows"]] == [7, 30, 90, 365]
    for each in answer["windows"]:
        found = stored().lists[each["list"]]
        row = next(row for row in found.rows if row.unit_id == unit.unit_id)
        assert each["score"] == row.score
        assert each["list_hash"] == found.hash
    county = UNITS.by_level(Level.COUNTY)[0].unit_id
    assert (await get(f"/v1/units/{county}/score")).json()["windows"][0]["list"] == "county.all.7"


async def test_a_units_score_in_one_window_is_that_alone_and_another_window_is_refused() -> None:
    county = load_units().by_level(Level.COUNTY)[0].unit_id
    answer = (await get(f"/v1/units/{county}/score", window=30)).json()
    assert [each["list"] for each in answer["windows"]] == ["county.all.30"]
    refused = await get(f"/v1/units/{county}/score", window=8)
    assert refused.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert refused.json()["errors"][0]["expected"] == "one of 7, 30, 90, 365"


async def test_a_units_score_in_a_calendar_period_is_its_row_in_that_list() -> None:
    unit = WINDOWS[0]
    answer = (await get(f"/v1/units/{unit.unit_id}/score", period="2026Q4")).json()
    (row,) = answer["windows"]
    found = stored().lists[f"window.{unit.kind}.2026Q4"]
    assert (row["list"], row["period"], row["window_days"]) == (found.key, "2026Q4", 92)
    assert row["score"] == next(each.score for each in found.rows if each.unit_id == unit.unit_id)
    assert row["score"] is not None
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"period": "2026Q3"}, "one of 2026-10, 2026-11, 2026Q4, 2026"),
        ({"period": "2026Q4", "window": "30"}, "leave one of them out"),
    ]
    for params, names in wrong:
        refused = await get(f"/v1/units/{unit.unit_id}/score", **params)
        assert refused.status_code == httpx.codes.UNPROCESSABLE_ENTITY
        assert names in refused.json()["detail"]


async def test_a_unit_that_was_merged_has_no_rows_in_windows_and_periods_that_exist() -> None:
    gone = replace(WINDOWS[0], unit_id=UnitId("U009001"), valid_to=TODAY, successor=WINDOWS[1].unit_id)
    read = ReadRankings(UnitRegistry([*UNITS, gone]), stored, lambda: None)
    for window, period in ((None, None), ("30", None), (None, "2026Q4")):
        found = read.unit_score(gone.unit_id, window, period)
        assert (found.windows, found.unit.successor) == ([], WINDOWS[1].unit_id)
    with pytest.raises(InvalidValueError, match="7, 30, 90, 365"):
        read.unit_score(gone.unit_id, "31")


async def test_an_unknown_unit_is_not_found_and_near_ones_are_proposed() -> None:
    response = await get("/v1/units/U999999/score")
    assert response.status_code == 404
    assert "did you mean" in response.json()["detail"]


async def test_the_province_has_a_score_and_no_rank() -> None:
    answer = (await get("/v1/units/U000001/score", window=90)).json()
    (row,) = answer["windows"]
    assert (row["list"], row["units"], row["status"], row["rank"]) == ("province.all.90", 1, "unranked", None)
    assert row["score"] is not None


async def test_the_books_are_the_published_ones() -> None:
    answer = (await get("/v1/books")).json()
    assert answer["balanced"]
    accounts = ("counted", "replaced", "held", "excluded", "late")
    assert answer["accepted"] == sum(answer[account] for account in accounts)
    assert answer["positions"] == {"FEEDBACK": 9000}


@pytest.mark.parametrize("path", ["/v1/rankings", "/v1/books", f"/v1/units/{WINDOWS[0].unit_id}/score"])
async def test_before_the_fold_has_caught_up_the_answer_is_how_far_it_is(path: str) -> None:
    response = await get(path, app(progress="3 of 9 messages folded"))
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert "3 of 9 messages folded" in response.json()["detail"]
    assert (await get(path, app(lambda: None))).status_code == 503


async def test_without_a_broker_the_service_lives_and_says_what_is_missing() -> None:
    made = create_app(Settings(nats_url="nats://127.0.0.1:1"))
    async with made.router.lifespan_context(made):
        assert (await get("/livez", made)).status_code == 200
        ready = await get("/readyz", made)
        assert ready.status_code == 503
        assert set(ready.json()["checks"]) == {"nats", "fold", "publication", "access"}
        assert (await get("/v1/rankings", made)).status_code == 503
        assert "pingyi_scoring_fold_lag_messages" in (await get("/metrics", made)).text
        assert (await get("/openapi.json", made)).status_code == 200
