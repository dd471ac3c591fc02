"""What a bulletin is made of, as the services' HTTP interfaces give it to the command line."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import httpx

from deploy.local.api import client, send
from deploy.local.bulletins.periods import Span
from deploy.local.errors import LocalError, ServiceRefusedError
from deploy.local.layout import Layout
from services.rectify.domain.bulletins import days_of
from shared.kernel.errors import describe

ATTEMPTS: Final = 3
MOST_ROWS: Final = 2000
TREND_WINDOW: Final = 7
TREND_DAYS: Final = 92
UNITS_ON_A_PAGE: Final = 100
TIMEOUT_S: Final = 60.0
REVISED: Final = 409
NOT_THERE: Final = frozenset({404, 422})

BELOW: Final = {
    "province": ("city", "county"),
    "city": ("county", "window"),
    "county": ("window",),
}
"""Levels whose units a bulletin ranks, by the level of its region."""


@dataclass(frozen=True, slots=True)
class Board:
    """One list of the region's subordinates: head, all rows, those of the time before (None: unknown)."""

    level: str
    head: dict[str, Any]
    rows: tuple[dict[str, Any], ...]
    before: tuple[dict[str, Any], ...] | None


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything that a bulletin rests on, unchanged as it came.

    Attributes:
        unit: the region's own unit, as intake describes it.
        names: name of each division below the province, by its code.
        own: head of the list that the region itself stands in, its row, its row of the time before.
        boards: see `Board`.
        history: the region's rolling week, day by day; None: too long ago.
        cases: what rectify says of cases; None: it could not be asked.
    """

    span: Span
    unit: dict[str, Any]
    names: dict[str, str]
    own: tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]
    boards: tuple[Board, ...]
    history: dict[str, Any] | None
    cases: dict[str, Any] | None


def level_of(region: str) -> str:
    """Level of a division's code."""
    if region.endswith("0000"):
        return "province"
    return "city" if region.endswith("00") else "county"


def gather(layout: Layout, span: Span, region: str) -> Gathered:
    """Ask for everything that a bulletin of `region` over `span` needs.

    Raises:
        LocalError: no such region, or no list of that period.
        ServiceRefusedError: a service answered with an error.
    """
    with client(TIMEOUT_S) as http:
        asking = _Asking(http, layout)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return asking.everything(span, region)
            except ServiceRefusedError as error:
                # A list was revised between two of its pages: everything anew, so that all fits together.
                if error.problem.get("status") != REVISED or attempt == ATTEMPTS:
                    raise
        raise AssertionError(ATTEMPTS)  # pragma: no cover - the last attempt returns or raises


class _Asking:
    def __init__(self, http: httpx.Client, layout: Layout) -> None:
        self._http = http
        self._layout = layout

    def everything(self, span: Span, region: str) -> Gathered:
        level = level_of(region)
        divisions = {unit["division"]: unit for each in ("city", "county") for unit in self._units(each)}
        if level == "province":
            divisions |= {unit["division"]: unit for unit in self._units("province")}
        unit = divisions.get(region)
        if unit is None or unit["level"] != level:
            raise LocalError(
                describe(region, "the code of a division with units", "see `pingyi rankings --level county`")
            )
        head, rows = self._list({"level": level, **span.query})
        as_of = date.fromisoformat(head["as_of"])
        earlier = self._maybe({"level": level, **span.before(as_of)})
        boards = tuple(
            self._board(below, span, as_of, None if level == "province" else unit["unit_id"])
            for below in BELOW[level]
        )
        first, last = days_of(span.period(as_of))
        return Gathered(
            span=span,
            unit=unit,
            names={code: each["name"] for code, each in divisions.items()},
            own=(head, _row(rows, unit) or {}, None if earlier is None else _row(earlier, unit)),
            boards=boards,
            history=self._history(unit["unit_id"]),
            cases=self._get(
                "rectify",
                "/v1/bulletins/cases",
                {"region": region, "first": first.isoformat(), "last": last.isoformat()},
            ),
        )

    def _board(self, level: str, span: Span, as_of: date, parent: str | None) -> Board:
        head, rows = self._list({"level": level, **span.query, "parent": parent})
        before = self._maybe({"level": level, **span.before(as_of), "parent": parent})
        return Board(level, head, rows, before)

    def _maybe(self, asked: dict[str, Any]) -> tuple[dict[str, Any], ...] | None:
        """The rows of a list that need not exist: there may be no period before."""
        try:
            return self._list(asked)[1]
        except ServiceRefusedError as error:
            if error.problem.get("status") not in NOT_THERE:
                raise
            return None

    def _list(self, asked: dict[str, Any]) -> tuple[dict[str, Any], tuple[dict[str, Any], ...]]:
        page = self._get("scoring", "/v1/rankings", {**asked, "limit": MOST_ROWS})
        rows = list(page["items"])
        head = {name: value for name, value in page.items() if name not in {"items", "next"}}
        while page["next"] is not None:
            page = self._get("scoring", "/v1/rankings", {**asked, "limit": MOST_ROWS, "cursor": page["next"]})
            rows += page["items"]
        return head, tuple(rows)

    def _history(self, unit_id: str) -> dict[str, Any] | None:
        found: dict[str, Any] = self._get(
            "scoring", f"/v1/units/{unit_id}/history", {"days": TREND_DAYS, "window": str(TREND_WINDOW)}
        )
        return found

    def _units(self, level: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            asked = {"level": level, "limit": UNITS_ON_A_PAGE, "cursor": cursor}
            page = self._get("intake", "/v1/units", asked)
            found += page["items"]
            cursor = page["next"]
            if cursor is None:
                return found

    def _get(self, service: str, path: str, params: dict[str, Any]) -> Any:  # noqa: ANN401 - the service's JSON
        return send(self._http, "GET", f"{self._layout.service_url(service)}{path}", params=params).json()


def _row(rows: tuple[dict[str, Any], ...], unit: dict[str, Any]) -> dict[str, Any] | None:
    return next((row for row in rows if row["unit_id"] == unit["unit_id"]), None)
