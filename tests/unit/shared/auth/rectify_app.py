"""Rectify's real app, complete as it is served: one window with a case, a sanction and a nomination."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI

from services.rectify import bootstrap as rectify
from services.rectify.adapters.case_fold import CaseFold
from services.rectify.adapters.ladder_fold import LadderFold
from services.rectify.application.ladder_translation import apply_registry
from services.rectify.application.ports import StoredCase
from services.rectify.composition import ladders
from services.rectify.domain.book import Summary
from services.rectify.domain.case import Case, Sealed
from services.rectify.settings import Settings
from shared.events import Envelope, parse_event
from shared.events.catalogue import EXAMPLES
from shared.kernel.units import Unit
from tests.support.access import auth_dir, secrets_directory
from tests.unit.rectify.ladder_world import Registry
from tests.unit.rectify.lives import new_case
from tests.unit.rectify.test_bulletins import MemoryBulletins


class MemoryCases:
    """Plays `CaseStore`, and tells what is stored."""

    def __init__(self, case: Case, told: Callable[[Case, int], None]) -> None:
        self._told = told
        self._cases = {case.case_id: StoredCase(case, 1, "request-1")}
        self._sequence = 1

    async def load(self, case_id: str) -> StoredCase | None:
        return self._cases.get(case_id)

    async def store(self, event: Envelope[Any], case: Case, *, replaces: int) -> tuple[int, bool]:
        del replaces
        self._sequence += 1
        self._cases[case.case_id] = StoredCase(case, self._sequence, event.correlationid)
        self._told(case, self._sequence)
        return self._sequence, False

    async def history(self, case_id: str) -> tuple[tuple[int, Envelope[Any]], ...]:
        del case_id
        return ()


class NoTexts:
    """Plays `Texts`: nothing can be read."""

    async def seal(self, case_id: str, text: str) -> Sealed:
        del case_id, text
        return Sealed("bm9uY2U=", "Y2lwaGVydGV4dA==")

    async def open(self, case_id: str, sealed: Sealed) -> str | None:
        del case_id, sealed
        return None

    async def erase(self, case_id: str) -> bool:
        del case_id
        return True


def _example(fact: str, unit: Unit) -> Envelope[Any]:
    """The full example of a fact about ladders, told of `unit`."""
    event = json.loads((EXAMPLES / f"sanctions.{fact}.v1" / "full.json").read_text(encoding="utf-8"))
    event["data"] |= {"unit_id": unit.unit_id, "city": unit.city, "county": unit.county}
    return parse_event(json.dumps(event).encode())


def _with_ladders(unit: Unit, patch: pytest.MonkeyPatch, ids: dict[str, str]) -> None:
    folds: list[LadderFold] = []

    def take(event: Envelope[Any], sequence: int) -> None:
        apply_registry(folds[0].book, event, sequence)

    store = Registry(take)

    def folded(*parts: Any) -> LadderFold:  # noqa: ANN401 - as `LadderFold` takes them
        fold = LadderFold(*parts)
        folds[:] = [fold]
        patch.setattr(fold, "require_caught_up", lambda: fold.book)
        for name, fact in (("sanction_id", "proposed"), ("nomination_id", "unit-nominated")):
            event = _example(fact, unit)
            ids[name] = event.subject
            store.append(event, f"sanctions.v1.{fact}.{unit.city}.{unit.county}.{event.subject}")
        return fold

    async def at_once(_self: LadderFold, _sequence: int) -> None:
        """What is stored here is folded with it."""

    patch.setattr(LadderFold, "reach", at_once)
    patch.setattr(ladders, "JetStreamLadders", lambda: store)
    patch.setattr(ladders, "LadderFold", folded)


def serve_rectify(nats_url: str, unit: Unit, patch: pytest.MonkeyPatch, ids: dict[str, str]) -> FastAPI:
    """Make the app; the ids of what it knows about `unit` are in `ids` afterwards."""
    case = new_case(unit_id=unit.unit_id, kind=unit.kind, city=unit.city, county=unit.county)
    ids["case_id"] = case.case_id
    folds: list[CaseFold] = []

    def told(changed: Case, sequence: int) -> None:
        folds[0].book.put(Summary.of(changed, sequence))

    def folded(*parts: Any) -> CaseFold:  # noqa: ANN401 - as `CaseFold` takes them
        fold = CaseFold(*parts)
        folds[:] = [fold]
        fold.book.put(Summary.of(case, 1))
        patch.setattr(fold, "require_caught_up", lambda: fold.book)
        return fold

    _with_ladders(unit, patch, ids)
    patch.setattr(rectify, "JetStreamBulletins", MemoryBulletins)
    patch.setattr(rectify, "JetStreamCases", lambda: MemoryCases(case, told))
    patch.setattr(rectify, "CaseTexts", lambda *_: NoTexts())
    patch.setattr(rectify, "CaseFold", folded)
    return rectify.create_app(
        Settings(nats_url=nats_url, secrets_dir=secrets_directory(), auth_dir=auth_dir())
    )
