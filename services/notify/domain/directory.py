"""Who can be told, and who answers for what: recipients, chains, supervisors, subscriptions, operators."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from services.notify.domain.alert import Alert
from services.notify.domain.catalogue import CONFIDENTIAL, Audience, audience_of
from services.notify.domain.duty import Recipient
from services.notify.domain.offices import BACKUP, DEPUTY, HEAD, OFFICER, Offices
from shared.kernel.units import ALL, Unit, UnitRegistry
from shared.rules.alerting import Severity

PROVINCE: Final = "province"
STEP_LABELS: Final[Mapping[str, str]] = {
    OFFICER: "责任人",
    DEPUTY: "分管领导",
    HEAD: "一把手",
    "supervisor": "上级",
    "operator": "运维",
    "subscription": "订阅",
    "digest": "汇总",
}
"""Why somebody is told, in Chinese."""

_COVERS_FOLLOWED: Final = 5
_SEVERITIES: Final = tuple(Severity)


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a recipient wants to hear of beside their own duty; an empty filter lets everything pass.

    Attributes:
        regions: subject tokens: cities (4 digits), counties (6 digits); `PROVINCE` is no filter.
        kinds: kinds of window.
        rules: names of rules.
        severity: from this on.
    """

    recipient: str
    regions: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    rules: frozenset[str] = frozenset()
    severity: Severity = Severity.INFO

    def wants(self, alert: Alert, kind: str | None) -> bool:
        """Whether the alert passes all filters."""
        return (
            (not self.regions or alert.county in self.regions or alert.city in self.regions)
            and (not self.kinds or kind in self.kinds)
            and (not self.rules or alert.rule in self.rules)
            and _SEVERITIES.index(alert.severity) >= _SEVERITIES.index(self.severity)
        )


@dataclass(frozen=True, slots=True)
class Book:
    """What the file of recipients says.

    Attributes:
        recipients: by id.
        chains: unit → role → recipient; wins over the registry.
        supervisors: subject token of a region (county, city, `ALL` for the province) → recipients.
        operators: recipients of alerts about the platform, and of what nobody else is there for.
    """

    recipients: Mapping[str, Recipient] = field(default_factory=dict)
    chains: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    supervisors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    subscriptions: tuple[Subscription, ...] = ()
    operators: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """People who are told together, and in which role.

    Attributes:
        number: place of the role in the chain, the same on each day whoever is away; None: not of a chain.
    """

    role: str
    recipients: tuple[Recipient, ...]
    number: int | None


class Directory:
    """Finds the people of an alert: the unit's chain first, then one level up (下管一级)."""

    def __init__(self, book: Book, units: UnitRegistry, offices: Offices) -> None:
        """Look people up in `book` and `offices`."""
        self.book = book
        self._units = units
        self._offices = offices

    @property
    def empty(self) -> bool:
        """Whether there is nobody to be told by name: then every channel gets every alert."""
        return not self.book.recipients

    def kind_of(self, alert: Alert) -> str | None:
        """Kind of window that an alert is about, where it is about one."""
        if alert.unit_id is not None and alert.unit_id in self._units:
            return self._units.get(alert.unit_id).kind
        return alert.figures.get("kind")

    def steps(self, alert: Alert, day: date) -> tuple[Step, ...]:
        """Return who is told first, and who after them if nobody acknowledges; nobody twice, none empty.

        Where nobody of the alert's own people can be told, the operators are.
        """
        found: list[Step] = []
        seen: set[str] = set()
        for number, (role, people) in enumerate(self._ladder(alert, day)):
            fresh = tuple(
                each for each in dict.fromkeys(people) if each.recipient_id not in seen and not each.outside
            )
            if fresh:
                found.append(Step(role, fresh, number))
                seen |= {each.recipient_id for each in fresh}
        return tuple(found) or self._operator_steps(day)

    def subscribers(self, alert: Alert, day: date) -> tuple[Recipient, ...]:
        """Return who has subscribed to the alert and is there; nobody whom it is not for."""
        kind = self.kind_of(alert)
        found = (
            self._present(each.recipient, None, day)
            for each in self.book.subscriptions
            if each.wants(alert, kind)
        )
        barred = self._own_people(alert, day) if alert.rule in CONFIDENTIAL else frozenset()
        return tuple(
            dict.fromkeys(each for each in found if each is not None and each.recipient_id not in barred)
        )

    def _own_people(self, alert: Alert, day: date) -> frozenset[str]:
        """Who answers for the unit that an alert is about, and who did before it was merged."""
        unit_id = alert.unit_id or ""
        found = (
            self.book.chains.get(each, {}).get(role) or self._offices.person(each, role, day)
            for each in dict.fromkeys((unit_id, self._in_charge(unit_id, day)))
            for role in (OFFICER, DEPUTY, HEAD, BACKUP)
        )
        return frozenset(name for name in found if name is not None)

    def _in_charge(self, unit_id: str, day: date) -> str:
        """The unit that answers for one: itself, or on days after it was merged or recoded its successor."""
        heir = self._units.heir(self._units.get(unit_id), day) if unit_id in self._units else None
        return unit_id if heir is None else heir.unit_id

    def _ladder(self, alert: Alert, day: date) -> Sequence[tuple[str, Sequence[Recipient]]]:
        audience = audience_of(alert.rule)
        if audience is Audience.OPERATORS:
            return ()
        known = alert.unit_id is not None and alert.unit_id in self._units
        unit = self._units.get(self._in_charge(alert.unit_id, day)) if known and alert.unit_id else None
        if unit is None:
            # About a place: its bureau's people, then those one level up.
            place = self._bureau(alert.city, alert.county, day)
            above = self._above(alert.city, alert.county, place, day)
            return (
                ("supervisor", self._supervisors(alert.city, alert.county, place, day)),
                ("supervisor", self._supervisors(*above, day) if above else ()),
            )
        above = self._above(unit.city, unit.county, unit, day)
        supervisors = ("supervisor", self._supervisors(*above, day) if above else ())
        if audience is Audience.SUPERVISORS:
            return (supervisors,)
        chain = self._chain(unit.unit_id, day)
        if alert.unit_id and unit.unit_id != alert.unit_id and not any(people for _, people in chain):
            chain = self._chain(alert.unit_id, day)  # the successor has nobody yet: those of before know it
        return (*chain, supervisors)

    def _chain(self, unit_id: str, day: date) -> list[tuple[str, Sequence[Recipient]]]:
        return [(role, self._holder(unit_id, role, day)) for role in (OFFICER, DEPUTY, HEAD)]

    def _supervisors(self, city: str, county: str, bureau: Unit | None, day: date) -> Sequence[Recipient]:
        """Those named for a region, else the first of its bureau's chain who is there."""
        named = self.book.supervisors.get(county if county != ALL else city, ())
        people = [each for name in named if (each := self._present(name, None, day)) is not None]
        if people or bureau is None:
            return people
        return next((people for _, people in self._chain(bureau.unit_id, day) if people), ())

    def _above(
        self, city: str, county: str, unit: Unit | None, day: date
    ) -> tuple[str, str, Unit | None] | None:
        """Region and bureau one level above a unit or place; None above the province."""
        if unit is not None and unit.parent_id is not None:
            parent = self._units.get(self._in_charge(unit.parent_id, day))
            return parent.city, parent.county, parent
        if county != ALL:
            return city, ALL, self._bureau(city, ALL, day)
        return (ALL, ALL, self._bureau(ALL, ALL, day)) if city != ALL else None

    def _bureau(self, city: str, county: str, day: date) -> Unit | None:
        """The bureau of a place, or who has taken over from it."""
        bureau = self._units.bureau(city, county)
        return None if bureau is None else self._units.get(self._in_charge(bureau.unit_id, day))

    def _holder(self, unit_id: str, role: str, day: date) -> tuple[Recipient, ...]:
        name = self.book.chains.get(unit_id, {}).get(role) or self._offices.person(unit_id, role, day)
        found = None if name is None else self._present(name, unit_id, day)
        if found is None and role == OFFICER:
            backup = self._backup(unit_id, day)
            found = None if backup is None else self._present(backup, None, day)
        return () if found is None else (found,)

    def _backup(self, unit_id: str, day: date) -> str | None:
        return self.book.chains.get(unit_id, {}).get(BACKUP) or self._offices.person(unit_id, BACKUP, day)

    def _present(self, name: str, unit_id: str | None, day: date) -> Recipient | None:
        """The person, or whoever stands in for them; None if none of them is there or known."""
        for _ in range(_COVERS_FOLLOWED):
            person = self.book.recipients.get(name)
            if person is None or person.present(day):
                return person
            cover = person.cover or (self._backup(unit_id, day) if unit_id else None)
            if cover is None or cover == name:
                return None
            name, unit_id = cover, None
        return None

    def _operator_steps(self, day: date) -> tuple[Step, ...]:
        people = [each for name in self.book.operators if (each := self._present(name, None, day))]
        return (Step("operator", tuple(dict.fromkeys(people)), 0),) if people else ()
