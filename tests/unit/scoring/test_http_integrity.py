"""What is flagged, over HTTP."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from services.scoring.application.watch import ReadFlags
from services.scoring.domain.flags import Flags, Notice
from services.scoring.domain.integrity import Finding
from services.scoring.entrypoints.integrity import make_integrity_router
from shared.kernel.grades import Level
from shared.kernel.units import load_units
from shared.observability.problem import install_handlers
from tests.support.access import guard, proofs

UNITS = load_units()
WINDOW, COUNTY = UNITS.by_level(Level.WINDOW)[0], UNITS.by_level(Level.COUNTY)[0]


def notice(unit_id: str, signal: str, probability: float) -> Notice:
    finding = Finding(unit_id, signal, 1, 61.0, 36.0, None, probability, {"ratings": "61"})
    return Notice(finding, True, 1_795_000_000_000, "2026-11-18", "sha256:ab", 1)


NOTICES = [
    notice(WINDOW.unit_id, "burst", 1e-7),
    notice(WINDOW.unit_id, "seconds_between", 1e-12),
    notice(COUNTY.unit_id, "co_burst", 1e-9),
    notice("U999999", "burst", 1e-9),
]
FLAGS = Flags({each.finding.key: each for each in NOTICES})


async def get(found: Flags | None = FLAGS, why: str | None = None, **params: Any) -> httpx.Response:  # noqa: ANN401 - query
    app = FastAPI()
    install_handlers(app)
    app.include_router(make_integrity_router(ReadFlags(UNITS, lambda: found, lambda: why)))
    transport = httpx.ASGITransport(guard(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://scoring", auth=proofs()) as client:
        return await client.get("/v1/integrity", params=params)


async def test_flags_come_least_likely_first_with_their_numbers() -> None:
    answer = (await get()).json()
    assert answer["flags"] == 3
    assert [each["signal"] for each in answer["items"]] == ["seconds_between", "co_burst", "burst"]
    assert answer["items"][0] == {
        "unit_id": WINDOW.unit_id,
        "name": WINDOW.name,
        "level": "window",
        "signal": "seconds_between",
        "raised_at": "2026-11-18T11:06:40.000Z",
        "as_of": "2026-11-18",
        "window_days": 1,
        "statistic": 61.0,
        "threshold": 36.0,
        "expected": None,
        "probability": 1e-12,
        "figures": {"ratings": "61"},
        "rules": "sha256:ab",
    }


@pytest.mark.parametrize(
    ("params", "signals"),
    [
        ({"signal": "burst"}, ["burst"]),
        ({"level": "county"}, ["co_burst"]),
        ({"level": "city"}, []),
        ({"signal": "co_burst", "level": "window"}, []),
        ({"limit": 1}, ["seconds_between"]),
    ],
)
async def test_signal_level_and_limit_choose(params: dict[str, Any], signals: list[str]) -> None:
    assert [each["signal"] for each in (await get(**params)).json()["items"]] == signals


@pytest.mark.parametrize(("name", "exists"), [("signal", "off_site_gap"), ("level", "county")])
async def test_an_unknown_choice_names_what_exists(name: str, exists: str) -> None:
    params: dict[str, Any] = {name: "nonsense"}
    response = await get(**params)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert exists in response.text


async def test_before_the_first_examination_it_says_that_it_is_early() -> None:
    for response in (await get(None), await get(FLAGS, "12 of 13 messages folded")):
        assert response.status_code == 503
        assert "retry-after" in response.headers
