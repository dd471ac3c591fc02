"""HTTP about earlier days, tables, entity tags and live boards, without a broker."""

import asyncio
import csv
import json
from datetime import date, timedelta
from io import StringIO
from typing import Any

import pytest
from fastapi import FastAPI

from services.scoring.application.boards import Boards
from services.scoring.application.past import Past
from services.scoring.application.published import PublishedBooks, PublishedList, StoredRankings
from services.scoring.application.workshop import OverloadedError
from services.scoring.domain.lists import RANKED, SUPPRESSED, Row
from services.scoring.domain.small_groups import LEAST_SHOWN
from services.scoring.entrypoints.tables import HEADER, wants_table, write_table
from shared.kernel.grades import Level
from shared.kernel.spreadsheets import BOM
from tests.unit.scoring.serving import TODAY, UNITS, WINDOWS, app, fold, get, stored

DAY = (TODAY - timedelta(days=40)).isoformat()
CITY = UNITS.by_level(Level.CITY)[0]
UNIT = WINDOWS[0]


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text.removeprefix(BOM))))


async def test_a_list_of_an_earlier_day_says_that_it_is_recomputed_and_at_which_position() -> None:
    answer = (await get("/v1/rankings", level="window", window=7, at=DAY)).json()
    assert (answer["list"], answer["as_of"], answer["recomputed"]) == ("window.all.7", DAY, True)
    assert answer["positions"] == {"FEEDBACK": 9000}
    assert answer["items"][0]["rank_change"] is not None or answer["items"][0]["rank"] is None
    today = (await get("/v1/rankings", level="window", window=7)).json()
    assert today["recomputed"] is False
    assert today["items"] != answer["items"]


async def test_an_earlier_day_has_pages_parents_and_periods_like_today() -> None:
    first = (await get("/v1/rankings", level="window", at=DAY, limit=600)).json()
    second = (await get("/v1/rankings", level="window", at=DAY, limit=600, cursor=first["next"])).json()
    assert len(first["items"]) + len(second["items"]) == 1188
    other_day = (TODAY - timedelta(days=41)).isoformat()
    wrong = await get("/v1/rankings", level="window", at=other_day, cursor=first["next"])
    assert wrong.status_code == 422
    below = (await get("/v1/rankings", level="window", at=DAY, parent=CITY.unit_id, limit=2000)).json()
    assert (below["parent"], below["units"]) == (CITY.unit_id, len(below["items"]))
    assert below["units"] < 1188
    assert any(row["rank_change"] for row in below["items"])
    assert below["top"] == [row["unit_id"] for row in below["items"] if row["rank"]][:10]
    month = (await get("/v1/rankings", level="city", at=DAY, period="2026-10")).json()
    assert (month["list"], month["period"]) == ("city.all.2026-10", "2026-10")


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"at": TODAY.isoformat()}, "before today"),
        ({"at": "2027-01-01"}, "before today"),
        ({"at": "1999-01-01", "window": 365}, "the window 365 from 2026-08-20"),
        ({"at": "yesterday"}, "date"),
        ({"at": DAY, "level": "street"}, "window, county, city, province"),
        ({"at": DAY, "level": "county", "kind": "marriage"}, "one of all"),
        ({"at": DAY, "window": 31}, "7, 30, 90, 365"),
        ({"at": DAY, "period": "2020"}, "one of 2026-09"),
        ({"at": DAY, "level": "county", "parent": UNIT.unit_id}, "province, city"),
        ({"level": "window", "parent": UNIT.unit_id}, "province, city, county"),
        ({"level": "city", "parent": CITY.unit_id}, "province"),
        ({"level": "window", "kind": "marriage", "parent": UNIT.unit_id}, "province, city, county"),
    ],
)
async def test_what_does_not_exist_is_answered_with_what_does(params: dict[str, Any], names: str) -> None:
    response = await get("/v1/rankings", **params)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert names in response.json()["detail"]


async def test_an_unknown_parent_is_not_found() -> None:
    assert (await get("/v1/rankings", at=DAY, parent="U999999")).status_code == 404


async def test_a_units_history_has_one_point_for_each_day() -> None:
    answer = (await get(f"/v1/units/{UNIT.unit_id}/history", days=60, window="30d")).json()
    assert (answer["list"], answer["window_days"], answer["recomputed"]) == (
        f"window.{UNIT.kind}.30", 30, True,
    )  # fmt: skip
    assert [point["day"] for point in answer["items"]] == [
        (TODAY - timedelta(days=back)).isoformat() for back in range(59, -1, -1)
    ]
    assert {point["status"] for point in answer["items"]} == {RANKED}
    assert answer["fewer_than"] == 5
    assert {point["ratings_of_day"] for point in answer["items"]} == {None}
    assert (await get("/v1/units/U999999/history")).status_code == 404
    refused = await get(f"/v1/units/{UNIT.unit_id}/history", window=8)
    assert refused.json()["errors"][0]["expected"] == "one of 7, 30, 90, 365"
    for days in (0, 93):
        assert (await get(f"/v1/units/{UNIT.unit_id}/history", days=days)).status_code == 422


async def test_changes_say_what_moved_and_why() -> None:
    answer = (await get("/v1/rankings/city.all.30/changes", since=DAY)).json()
    assert (answer["list"], answer["since"], answer["as_of"]) == ("city.all.30", DAY, TODAY.isoformat())
    assert answer["moved"] == len(answer["items"]) > 0
    assert answer["units"] == 11
    shown = [item["why"] for item in answer["items"] if item["why"]["fewer_than"] is None]
    assert shown
    assert all(why["entered"]["ratings"] >= 10 and why["peers"]["group"] == "city.all" for why in shown)
    rows = (await get("/v1/rankings", level="city", window="30d")).json()["items"]
    left_out = {row["unit_id"]: row.get("left_out") for row in rows}
    assert {
        item["unit_id"]: item["why"]["left_out_after"] for item in answer["items"]
    }.items() <= left_out.items()
    assert any(item["why"]["left_out_before"] for item in answer["items"])
    windows = (await get("/v1/rankings/window.all.30/changes", limit=5)).json()
    assert windows["next"] is not None
    assert all(item["why"]["entered"]["ratings"] is None for item in windows["items"])
    assert {item["why"]["fewer_than"] for item in windows["items"]} == {5}


async def test_auditors_alone_are_told_counts_of_small_groups() -> None:
    made = app(sees_all=lambda request: request.headers.get("x-role") == "auditor")
    path, exact = "/v1/rankings/window.all.30/changes", {"x-role": "auditor"}
    hidden = await get(path, made, limit=2000)
    shown = await get(path, made, headers=exact, limit=2000)
    assert hidden.headers["etag"] != shown.headers["etag"]
    assert (hidden.headers["cache-control"], shown.headers["cache-control"]) == ("no-cache", "no-store")
    known, told = hidden.json()["items"], shown.json()["items"]
    assert [item["unit_id"] for item in known] == [item["unit_id"] for item in told]
    assert {item["why"]["fewer_than"] for item in told} == {None}
    small = [
        item["why"]
        for item in told
        if 0 < min(item["why"]["entered"]["bad"], item["why"]["left"]["bad"]) < LEAST_SHOWN
    ]
    assert small, "there are small groups"
    for each in (side for why in small for side in (why["entered"], why["left"])):
        assert each["good"] + each["bad"] == each["ratings"]
    for public, whole in zip(known, told, strict=True):
        for side in ("entered", "left"):
            for name, value in public["why"][side].items():
                assert value in {None, whole["why"][side][name]}
    assert any(item["why"]["entered"]["bad"] is None for item in known)


async def test_changes_of_an_unknown_list_are_not_found_and_a_bad_day_is_refused() -> None:
    response = await get("/v1/rankings/city.all.31/changes")
    assert response.status_code == 404
    assert "days or period of 7, 30, 90, 365" in response.json()["detail"]
    assert (await get("/v1/rankings/city.all.30/changes", since="never")).status_code == 422


@pytest.mark.parametrize(
    "path",
    [
        "/v1/rankings?level=window&limit=5",
        f"/v1/rankings?at={DAY}",
        "/v1/rankings?format=csv",
        f"/v1/units/{UNIT.unit_id}/score",
        f"/v1/units/{UNIT.unit_id}/history?days=3",
        "/v1/rankings/county.all.30/changes?limit=3",
        "/v1/books",
    ],
)
async def test_who_has_the_answer_already_gets_none(path: str) -> None:
    made = app()
    first = await get(path, made)
    assert first.status_code == 200
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    for known in (tag, f'"other", {tag}', "*", tag.removeprefix("W/")):
        again = await get(path, made, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert (await get(path, made, headers={"If-None-Match": '"other"'})).status_code == 200
    separator = "&" if "?" in path else "?"
    other = await get(path + f"{separator}window=90" if "books" not in path else "/v1/rankings", made)
    assert other.headers.get("etag") != tag


async def test_a_tag_tells_json_from_csv_and_one_state_from_the_next() -> None:
    plain = (await get("/v1/rankings")).headers["etag"]
    assert (await get("/v1/rankings", headers={"Accept": "text/csv"})).headers["etag"] != plain
    before = stored()
    found = before.lists["county.all.30"]
    head = {**found.head, "list_hash": "sha256:other"}
    revised = type(found)(head, found.rows, found.pages)
    later = app(lambda: StoredRankings({**before.lists, "county.all.30": revised}, before.books, {}))
    assert (await get("/v1/rankings", later)).headers["etag"] != plain
    books = PublishedBooks(fold().books(), 9100, "later")
    moved_on = app(lambda: StoredRankings(before.lists, books, {}))
    response = await get("/v1/rankings", moved_on, headers={"If-None-Match": plain})
    assert response.status_code == 304, "a position that moves on alone changes no list"


@pytest.mark.parametrize("closing", [(TODAY, 0, 2), (TODAY, 1, 2), (TODAY, 0, 3)])
async def test_a_list_that_closes_or_is_restated_is_sent_though_its_rows_are_known(
    closing: tuple[date, int, int],
) -> None:
    before = stored()
    key = next(key for key in before.lists if key.startswith("county.all.2026-"))
    period = key.rsplit(".", 1)[1]
    open_list = before.lists[key]

    def shown(found: PublishedList) -> FastAPI:
        return app(lambda: StoredRankings({**before.lists, key: found}, before.books, {}))

    first = await get("/v1/rankings", shown(open_list), period=period)
    closed = shown(open_list.closed(TODAY, open_list.hash, 0, 2))
    known = {"If-None-Match": first.headers["etag"]}
    answer = await get("/v1/rankings", closed, period=period, headers=known)
    assert answer.status_code == 200
    assert (answer.json()["closed_on"], answer.json()["late_missed"]) == (TODAY.isoformat(), 2)
    known = {"If-None-Match": answer.headers["etag"]}
    day, restatement, late = closing
    later = shown(open_list.closed(day, open_list.hash, restatement, late))
    again = await get("/v1/rankings", later, period=period, headers=known)
    assert again.status_code == (304 if closing == (TODAY, 0, 2) else 200)


async def test_a_table_has_all_rows_and_the_numbers_of_the_json() -> None:
    response = await get("/v1/rankings", level="window", window=90, format="csv")
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"] == (
        'attachment; filename="pingyi-window.all.90-2026-11-20.csv"'
    )
    head = (await get("/v1/rankings", level="window", window=90)).json()
    said = {name: response.headers[f"pingyi-{name}"] for name in ("sorted-by", "rules", "computed-at")}
    assert said == {name: head[name.replace("-", "_")] for name in said}
    assert json.loads(response.headers["pingyi-positions"]) == head["positions"] == {"FEEDBACK": 9000}
    assert response.content.startswith(b"\xef\xbb\xbfunit_id,name,status,rank,")
    rows = table(response.text)
    published = stored().lists["window.all.90"].rows
    assert [row["unit_id"] for row in rows] == [row.unit_id for row in published]
    first, last = rows[0], rows[-1]
    assert (float(first["score"]), int(first["rank"])) == (published[0].score, 1)
    assert [int(first[f"grade_{grade}"]) for grade in range(1, 6)] == list(published[0].histogram or ())
    assert (last["status"], last["score"], last["grade_1"]) == (SUPPRESSED, "", "")


async def test_a_table_comes_in_pages_if_a_limit_is_given_and_by_the_accept_header() -> None:
    response = await get("/v1/rankings", level="window", limit=7, headers={"Accept": "text/csv"})
    assert len(table(response.text)) == 7
    link = response.headers["link"]
    assert link.endswith('; rel="next"')
    following = await get(link[1 : link.index(">")], headers={"Accept": "text/csv"})
    assert table(following.text)[0]["unit_id"] == stored().lists["window.all.30"].rows[7].unit_id
    assert table((await get("/v1/rankings", at=DAY, format="csv")).text)[0]["unit_id"]


@pytest.mark.parametrize(
    ("form", "accept", "table_wanted"),
    [
        (None, "*/*", False),
        (None, "text/csv", True),
        (None, "application/json, text/csv;q=0.5", False),
        (None, "text/csv, application/json;q=0.5", True),
        (None, "text/csv;q=0", False),
        (None, "text/csv;q=x", False),
        ("json", "text/csv", False),
        ("csv", "application/json", True),
    ],
)
def test_a_table_is_what_format_or_else_accept_says(
    form: str | None,
    accept: str,
    table_wanted: bool,  # noqa: FBT001 - table-driven
) -> None:
    assert wants_table(form, accept) is table_wanted


def test_a_units_name_cannot_run_in_a_spreadsheet_and_nested_columns_are_flat() -> None:
    row = stored().lists["county.all.30"].rows[0]._replace(
        name='=cmd|"/c calc"!A1', rank_change=-3, dimensions={"service": 4.5},
        sources={"spot_check": {"ratings": 12, "index": 80.0}}, left_out=0.6,
    )  # fmt: skip
    (found,) = table("".join(write_table([row])))
    assert found["name"] == '\'=cmd|"/c calc"!A1'
    assert (found["rank_change"], found["left_out"]) == ("-3", "0.6")
    assert (found["dimensions_service"], found["dimensions_quality"]) == ("4.5", "")
    assert (found["sources_spot_check_ratings"], found["sources_spot_check_index"]) == ("12", "80.0")
    assert tuple(found) == HEADER
    assert [line.count(",") for line in "".join(write_table([Row("U1", "n", SUPPRESSED)])).splitlines()] == [
        len(HEADER) - 1
    ] * 2


@pytest.mark.parametrize(
    "path",
    [f"/v1/rankings?at={DAY}", f"/v1/units/{UNIT.unit_id}/history", "/v1/rankings/county.all.30/changes",
     "/v1/rankings/county.all.30/stream"],
)  # fmt: skip
async def test_before_the_fold_has_caught_up_the_past_is_not_shown_either(path: str) -> None:
    response = await get(path, app(progress="3 of 9 messages folded"))
    assert response.status_code == 503
    assert "3 of 9 messages folded" in response.json()["detail"]


async def test_too_much_at_once_is_answered_with_the_time_to_come_again() -> None:
    async def overloaded() -> Past:
        raise OverloadedError("18 questions about the past under way", 2.0)

    response = await get("/v1/rankings", app(take=overloaded), at=DAY)
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")


async def test_a_board_is_refused_before_it_begins() -> None:
    full = Boards(stored, 0)
    refused = await get("/v1/rankings/county.all.30/stream", app(boards=full))
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert (await get("/v1/rankings/street.all.30/stream")).status_code == 404


async def test_a_board_is_a_stream_of_events() -> None:
    boards = Boards(stored, 1)
    asyncio.get_running_loop().call_later(0.2, boards.close)
    response = await get("/v1/rankings/county.all.30/stream", app(boards=boards))
    assert response.headers["content-type"].startswith("text/event-stream")
    fields = dict(line.split(": ", 1) for line in response.text.strip().splitlines())
    assert (fields["event"], fields["id"]) == ("list", stored().lists["county.all.30"].hash)
    body = json.loads(fields["data"])
    assert (body["items"], body["truncated"], "priors" in body["head"]) == ([], False, False)
    assert boards.following == 0


async def test_the_description_names_every_status() -> None:
    document = (await get("/openapi.json")).json()
    statuses = {
        path: set(document["paths"][f"/v1{path}"]["get"]["responses"])
        for path in (
            "/rankings", "/rankings/{key}/changes", "/rankings/{key}/stream", "/units/{unit_id}/score",
            "/units/{unit_id}/history", "/books",
        )
    }  # fmt: skip
    assert statuses == {
        "/rankings": {"200", "304", "404", "409", "422", "503"},
        "/rankings/{key}/changes": {"200", "304", "401", "404", "409", "422", "503"},
        "/rankings/{key}/stream": {"200", "404", "422", "503"},
        "/units/{unit_id}/score": {"200", "304", "404", "422", "503"},
        "/units/{unit_id}/history": {"200", "304", "404", "422", "503"},
        "/books": {"200", "304", "503"},
    }
    table_or_page = document["paths"]["/v1/rankings"]["get"]["responses"]["200"]
    assert "text/csv" in table_or_page["content"]
    assert table_or_page["headers"].keys() == {
        "Pingyi-Sorted-By", "Pingyi-Rules", "Pingyi-Positions", "Pingyi-Computed-At",
    }  # fmt: skip
    stream = document["paths"]["/v1/rankings/{key}/stream"]["get"]["responses"]["200"]["content"]
    assert "text/event-stream" in stream
