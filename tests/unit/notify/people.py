"""A county window with its people, for the tests of routing."""

from datetime import date, datetime, timedelta

from services.notify.application.routing import Router
from services.notify.domain.directory import Book, Directory, Subscription
from services.notify.domain.duty import Recipient
from services.notify.domain.ledger import Ledger
from services.notify.domain.offices import Offices
from services.notify.domain.routing import Circumstances
from shared.kernel.units import load_units
from shared.rules.alerting import RoutingRules
from tests.unit.notify.support import NOW

UNITS = load_units()
WINDOW = UNITS.get("U000112")
BUREAU_ID = WINDOW.parent_id or ""
CHANNELS = ("console", "email", "webhook")


def person(name: str, *channels: str, **fields: object) -> Recipient:
    return Recipient(name, f"{name}岗", channels or ("email",), **fields)  # type: ignore[arg-type]  # by name


OFFICER, DEPUTY, HEAD = person("officer"), person("deputy"), person("head", "webhook")
CHIEF, CITY, DUTY, PRESS = person("chief"), person("city"), person("duty"), person("press", outside=True)


def book(*others: Recipient, **changes: object) -> Book:
    people = {each.recipient_id: each for each in (OFFICER, DEPUTY, HEAD, CHIEF, CITY, DUTY, PRESS, *others)}
    fields: dict[str, object] = {
        "recipients": people,
        "chains": {WINDOW.unit_id: {"officer": "officer", "deputy": "deputy", "head": "head"}},
        "supervisors": {WINDOW.county: ("chief",), WINDOW.city: ("city",)},
        "subscriptions": (Subscription("press", rules=frozenset({"rank_drop"})),),
        "operators": ("duty",),
    }
    return Book(**fields | changes)  # type: ignore[arg-type]  # by name


def directory(of: Book | None = None, offices: Offices | None = None) -> Directory:
    return Directory(of or book(), UNITS, offices or Offices())


def weekdays(day: date) -> bool:
    return day.weekday() < 5


def given(at: datetime = NOW, rules: RoutingRules | None = None) -> Circumstances:
    return Circumstances(at, rules or RoutingRules(), CHANNELS, weekdays)


def router(of: Book | None = None, ledger: Ledger | None = None) -> Router:
    made = Router(directory(of), ledger or Ledger(), weekdays)
    made.deliver_to(lambda: CHANNELS, default=lambda: CHANNELS)
    return made


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)
