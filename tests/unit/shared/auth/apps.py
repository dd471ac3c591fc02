"""The services' real apps, complete as they are served, on ports in memory."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from services.archive import bootstrap as archive
from services.archive.application.envelopes import read_attributes
from services.archive.application.ports import EventQuery, Position, Snapshot
from services.archive.domain.entries import Arrival, Entry
from services.archive.domain.leaves import seal
from services.archive.domain.reads import Read
from services.archive.settings import Settings as ArchiveSettings
from services.intake import bootstrap as intake
from services.intake.application.supervising import Supervision
from services.intake.composition import people, registry, safekeeping
from services.intake.domain.panels import PanelBook, Seat
from services.intake.domain.supervision import Campaign, CampaignBook, Phases, Target
from services.intake.settings import Settings as IntakeSettings
from services.notify import bootstrap as notify
from services.notify.adapters.console import ConsoleChannel
from services.notify.application.translation import raised_event
from services.notify.settings import Settings as NotifySettings
from services.scoring import bootstrap as scoring
from services.scoring.application.watch import ReadFlags
from services.scoring.domain.flags import Flags, Notice
from services.scoring.domain.integrity import Finding
from services.scoring.settings import Settings as ScoringSettings
from shared.events import Provenance
from shared.kernel.errors import TransientError
from shared.kernel.grades import Level
from shared.kernel.units import UnitRegistry, load_units
from shared.messaging.streams import FEEDBACK
from shared.testing.builders import envelope_of, feedback_submitted
from tests.integration.archive.support import write_signing_key
from tests.integration.intake.conftest import make_secrets
from tests.support.access import auth_dir
from tests.unit.intake.fakes import MemoryFeedbackLog, MemoryIndex, MemoryVault
from tests.unit.notify.support import NOW, Stream, alert
from tests.unit.shared.auth.rectify_app import serve_rectify

NOWHERE = "nats://127.0.0.1:1"
UNIT, COUNTY, CITY = "U000112", "360102", "360100"
"""Where everything that these apps know of is: a window."""
OTHER_UNIT, OTHER_COUNTY, OTHER_CITY = "U001000", "360721", "360700"
"""Elsewhere."""


@dataclass(frozen=True)
class Served:
    """The apps, and the ids of what they know of."""

    apps: dict[str, FastAPI]
    ids: dict[str, str]


class Away:
    """Plays a port whose technology is away, whatever it is asked."""

    def __init__(self, *_: object, **__: object) -> None:
        """Nothing to prepare."""

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        if name.startswith("__"):
            raise AttributeError(name)

        async def refuse(*_: object, **__: object) -> None:
            raise TransientError(f"{name} is away", 1)

        return refuse


class PeopleAway(Away):
    """Plays the fold of facts about people while the broker is away: nothing waits for it."""

    def was_erased(self, record_id: str) -> bool:
        del record_id
        return False

    def __contains__(self, record_id: object) -> bool:
        return False


class OneRating(Away):
    """Plays `EntryLog`: a log of one rating."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry

    async def size(self) -> int:
        return 1

    async def of_event(self, event_id: str) -> list[Entry]:
        attributes = self.entry.leaf.attributes
        return [self.entry] if attributes is not None and attributes.event_id == event_id else []

    async def linked(self, field: str, values: Sequence[str], _most: int) -> list[Entry]:
        return await self.of_event(values[0]) if field == "event_id" else []

    async def last(self, _query: EventQuery, _size: int) -> Position | None:
        return None

    async def page(
        self, query: EventQuery, _snapshot: Snapshot, _after: Position | None, _limit: int
    ) -> tuple[list[Entry], Position | None]:
        wanted = query.city in {None, CITY[:4]} and query.county in {None, COUNTY} and query.type is None
        return [self.entry] if wanted else [], None


class SilentJournal:
    """Plays `ReadJournal`."""

    def __init__(self, *_: object) -> None:
        """Nothing to prepare."""

    def new_id(self) -> str:
        return "read"

    async def record(self, read: Read) -> None:
        del read


class KnownAlerts(Stream):
    """Plays the fold of alerts and the bus at once."""

    async def check(self) -> None:
        """Ready."""


class KnownSupervision(Supervision):
    """Supervision with a campaign in the county and a panel of it, though REGISTRY is away."""

    def __init__(self, **parts: Any) -> None:  # noqa: ANN401 - whatever it takes
        super().__init__(**parts)
        self._campaigns, self._panels = CampaignBook(), PanelBook()
        phases = Phases(date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1), date(2026, 4, 1))
        targets = (Target(COUNTY, CITY[:4], 1),)
        self._campaigns.opened(Campaign("matrix", "走访", 1, 1, targets, phases, "somebody"))
        self._panels.enrolled(Seat("a", Level.COUNTY, COUNTY, 2026, "deputy"), enrolled=True)

    @property
    def campaigns(self) -> CampaignBook:
        return self._campaigns

    @property
    def panels(self) -> PanelBook:
        return self._panels


def serve(directory: Path, patch: pytest.MonkeyPatch) -> Served:
    """Make every app; the rating that intake knows of is still to be submitted."""
    units = load_units()
    ids: dict[str, str] = {}
    apps = {
        "intake": _intake(directory, patch),
        "scoring": _scoring(patch, units),
        "notify": _notify(patch, ids),
        "archive": _archive(directory, patch, ids),
        "rectify": serve_rectify(NOWHERE, units.get(UNIT), patch, ids),
    }
    return Served(apps, ids)


def _intake(directory: Path, patch: pytest.MonkeyPatch) -> FastAPI:
    patch.setattr(intake, "JetStreamFeedbackLog", lambda pseudonyms, **_: MemoryFeedbackLog(pseudonyms))
    patch.setattr(intake, "JetStreamVault", lambda *_, **__: MemoryVault())
    patch.setattr(intake, "SqliteAcceptedIndex", lambda *_, **__: MemoryIndex())
    patch.setattr(people, "PeopleFold", PeopleAway)
    patch.setattr(registry, "Supervision", KnownSupervision)
    patch.setattr(intake, "GoodBadExport", Away)
    for spooling in ("SpoolingLog", "SpoolingVault", "SpoolingIndex", "AcceptingIndex"):
        patch.setattr(safekeeping, spooling, lambda behind, *_, **__: behind)  # no disk in between
    secrets = make_secrets(directory / "secrets")
    return intake.create_app(
        IntakeSettings(
            nats_url=NOWHERE, secrets_dir=secrets, data_dir=directory / "intake", auth_dir=auth_dir()
        )
    )


def _scoring(patch: pytest.MonkeyPatch, units: UnitRegistry) -> FastAPI:
    finding = Finding(UNIT, "burst", 1, 61.0, 36.0, None, 1e-9, {"ratings": "61"})
    flags = Flags({finding.key: Notice(finding, True, 1_795_000_000_000, "2026-11-18", "sha256:ab", 1)})
    patch.setattr(scoring, "ReadFlags", lambda *_: ReadFlags(units, lambda: flags, lambda: None))
    return scoring.create_app(ScoringSettings(nats_url=NOWHERE, auth_dir=auth_dir(), archive_url=None))


def _notify(patch: pytest.MonkeyPatch, ids: dict[str, str]) -> FastAPI:
    known = KnownAlerts()
    one = alert(unit_id=UNIT)
    event = raised_event(one, (), NOW, rules="sha256:00", provenance=Provenance("request-1"))
    known.events.append(event)
    known.book.raised(one, sequence=1, channels=(), raised_at=NOW)
    ids["alert_id"] = event.id
    patch.setattr(notify, "AlertFold", lambda *_: known)
    patch.setattr(notify, "BusPublisher", lambda: known)
    return notify.create_app(
        NotifySettings(nats_url=NOWHERE, auth_dir=auth_dir()), channels=(ConsoleChannel(),)
    )


def _archive(directory: Path, patch: pytest.MonkeyPatch, ids: dict[str, str]) -> FastAPI:
    envelope = envelope_of(feedback_submitted(unit_id=UNIT))
    data, subject = envelope.to_json(), f"feedback.v1.submitted.{CITY[:4]}.{COUNTY}"
    arrival = Arrival(FEEDBACK, 1, subject, data, read_attributes(data))
    (entry,) = seal(0, [arrival], {})
    ids["archived_id"] = envelope.id
    patch.setattr(archive, "MongoDatabase", Away)
    patch.setattr(archive, "MongoTreeStore", Away)
    patch.setattr(archive, "MongoEntryLog", lambda _: OneRating(entry))
    patch.setattr(archive, "JetStreamReadJournal", SilentJournal)
    patch.setattr(archive, "JetStreamSource", Away)
    key = write_signing_key(directory)
    return archive.create_app(ArchiveSettings(nats_url=NOWHERE, archive_signing_key=key, auth_dir=auth_dir()))
