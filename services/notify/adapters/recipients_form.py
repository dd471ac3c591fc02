"""What files of recipients say, whatever their form: parts, what must hold between them, and their book.

No addresses: the channels know these. All problems are found at once, each with its place.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, time
from typing import Annotated, ClassVar, Final, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from services.notify.domain.catalogue import RULES
from services.notify.domain.directory import Book, Subscription
from services.notify.domain.duty import Absence, Quiet, Recipient
from shared.kernel.errors import PermanentError, describe
from shared.kernel.scrubbing import scrub
from shared.kernel.units import ALL, UnitRegistry
from shared.rules.alerting import Severity

MOST_PROBLEMS: Final = 100
ROLES: Final = ("officer", "deputy", "head", "backup")
_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_REGION: Final = re.compile(r"[0-9]{4}|[0-9]{6}")


class RecipientsError(PermanentError):
    """The file of recipients can't be used; `problems` names every reason."""

    title: ClassVar[str] = "The recipients are not valid"

    def __init__(self, origin: str, problems: Sequence[str]) -> None:
        """Name `origin` and all `problems`."""
        self.problems = tuple(problems)
        super().__init__(f"{origin}: " + "\n".join(f"- {problem}" for problem in self.problems))


def _time(value: object) -> object:
    if isinstance(value, str) and _TIME.fullmatch(value):
        return time.fromisoformat(value)
    return value


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
TimeOfDay = Annotated[time, BeforeValidator(_time)]


class Part(BaseModel):
    """A part of a file: nothing unknown in it."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class QuietForm(Part):
    """Hours in which only critical alerts come."""

    start: TimeOfDay = Field(alias="from")
    end: TimeOfDay = Field(alias="to")


class AbsenceForm(Part):
    """When somebody is away."""

    first: date = Field(alias="from")
    back: date


class RecipientForm(Part):
    """Somebody who can be told; see `Recipient`."""

    id: Name
    label: Annotated[str, Field(min_length=1, max_length=64)]
    channels: Annotated[tuple[Name, ...], Field(min_length=1)]
    quiet: QuietForm | None = None
    working_days: bool = False
    quota: Annotated[int, Field(ge=1, le=100_000)] | None = None
    absences: tuple[AbsenceForm, ...] = ()
    cover: Name | None = None
    outside: bool = False


class ChainForm(Part):
    """Who answers for a unit."""

    unit: Annotated[str, Field(min_length=1, max_length=64)]
    officer: Name | None = None
    deputy: Name | None = None
    head: Name | None = None
    backup: Name | None = None


class SupervisorsForm(Part):
    """Who is told one level up."""

    region: str
    recipients: Annotated[tuple[Name, ...], Field(min_length=1)]


class SubscriptionForm(Part):
    """What somebody wants to hear of besides; see `Subscription`."""

    recipient: Name
    regions: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    severity: Severity = Severity.INFO


class FileForm(Part):
    """All of a file."""

    operators: tuple[Name, ...] = ()
    recipients: tuple[RecipientForm, ...] = ()
    chains: tuple[ChainForm, ...] = ()
    supervisors: tuple[SupervisorsForm, ...] = ()
    subscriptions: tuple[SubscriptionForm, ...] = ()


def region_token(code: str) -> str | None:
    """Return the subject token of a GB/T 2260 code: city 4 digits, county 6, `ALL` for a province."""
    if _REGION.fullmatch(code) is None:
        return None
    if len(code) == 6:  # noqa: PLR2004 - digits of a code
        if code.endswith("0000"):
            return ALL
        return code[:4] if code.endswith("00") else code
    return code


def book_of(found: FileForm) -> Book:
    """Return the book of a file in which everything holds."""
    recipients = {
        each.id: Recipient(
            each.id,
            each.label,
            each.channels,
            None if each.quiet is None else Quiet(each.quiet.start, each.quiet.end),
            each.working_days,
            each.quota,
            tuple(Absence(absence.first, absence.back) for absence in each.absences),
            each.cover,
            each.outside,
        )
        for each in found.recipients
    }
    chains = {
        each.unit: {role: name for role in ROLES if (name := getattr(each, role)) is not None}
        for each in found.chains
    }
    supervisors = {region_token(each.region) or ALL: each.recipients for each in found.supervisors}
    subscriptions = tuple(
        Subscription(
            each.recipient,
            _regions(each.regions),
            frozenset(each.kinds),
            frozenset(each.rules),
            each.severity,
        )
        for each in found.subscriptions
    )
    return Book(recipients, chains, supervisors, subscriptions, found.operators)


def _regions(codes: Sequence[str]) -> frozenset[str]:
    """The whole province is no filter at all: alerts of its parts don't carry its token."""
    tokens = frozenset(region_token(each) or ALL for each in codes)
    return frozenset() if ALL in tokens else tokens


class Problem(NamedTuple):
    """What does not hold: `place` is the part that says so, such as ``recipients.duty.cover``."""

    place: str
    text: str


def problems_of(found: FileForm, units: UnitRegistry, kinds: Mapping[str, str]) -> list[Problem]:
    """Return what does not hold between the parts of a file, or between them and the platform."""
    known = {each.id: each for each in found.recipients}
    return [
        *_repeated("recipients", (each.id for each in found.recipients), "an id of its own", "rename one"),
        *_unknown(found, known),
        *(problem for each in found.recipients for problem in _recipient_problems(each, known)),
        *_repeated("chains", (each.unit for each in found.chains), "one chain for each unit", "join them"),
        *(
            Problem(f"chains.{each.unit}", describe(each.unit, "a registered unit", "correct the id"))
            for each in found.chains
            if each.unit not in units
        ),
        *_repeated(
            "supervisors",
            (region_token(each.region) or each.region for each in found.supervisors),
            "one entry for each region",
            "join them",
        ),
        *_region_problems(found),
        *(problem for each in found.subscriptions for problem in _subscription_problems(each, known, kinds)),
    ]


def _repeated(part: str, names: Iterable[str], expected: str, remedy: str) -> Iterator[Problem]:
    for name, times in Counter(names).items():
        if times > 1:
            yield Problem(f"{part}.{name}", describe(name, expected, remedy))


def _recipient_problems(each: RecipientForm, known: Mapping[str, RecipientForm]) -> Iterator[Problem]:
    place = f"recipients.{each.id}"
    if scrub(each.label, mistyped=True) != each.label:
        yield Problem(
            f"{place}.label",
            describe("a number or an address", "the post alone", "addresses belong to the channels"),
        )
    for one in each.absences:
        if one.back <= one.first:
            yield Problem(
                f"{place}.absences",
                describe(str(one.back), f"a day after {one.first}", "correct the dates"),
            )
    if _covers_itself(each.id, known):
        yield Problem(
            f"{place}.cover", describe(each.cover, "somebody who does not lead back", "break the circle")
        )


def _region_problems(found: FileForm) -> Iterator[Problem]:
    named = [(f"supervisors.{each.region}.region", each.region) for each in found.supervisors]
    named += [
        (f"subscriptions.{each.recipient}.regions", code)
        for each in found.subscriptions
        for code in each.regions
    ]
    for place, code in named:
        if region_token(code) is None:
            expected = "a GB/T 2260 code of 4 or 6 digits"
            yield Problem(place, describe(code, expected, "write it like 3601 or 360102"))


def _unknown(found: FileForm, known: Mapping[str, RecipientForm]) -> Iterator[Problem]:
    """Names that nobody has, and people from outside where only one's own may stand."""
    inside = [(f"operators.{name}", name) for name in found.operators]
    inside += [
        (f"chains.{each.unit}.{role}", name)
        for each in found.chains
        for role in ROLES
        if (name := getattr(each, role)) is not None
    ]
    inside += [(f"supervisors.{each.region}", name) for each in found.supervisors for name in each.recipients]
    inside += [(f"recipients.{each.id}.cover", each.cover) for each in found.recipients if each.cover]
    anybody = [(f"subscriptions.{each.recipient}", each.recipient) for each in found.subscriptions]
    for place, name in (*inside, *anybody):
        if name not in known:
            yield Problem(place, describe(name, "the id of a recipient", "add them to the recipients"))
    for place, name in inside:
        if name in known and known[name].outside:
            expected = "somebody of the administration"
            yield Problem(place, describe(name, expected, "let outside people subscribe only"))


def _covers_itself(name: str, known: Mapping[str, RecipientForm]) -> bool:
    at: str | None = known[name].cover
    seen: set[str] = set()
    while at is not None and at in known and at not in seen:
        if at == name:
            return True
        seen.add(at)
        at = known[at].cover
    return False


def _subscription_problems(
    each: SubscriptionForm, known: Mapping[str, RecipientForm], kinds: Mapping[str, str]
) -> Iterator[Problem]:
    place = f"subscriptions.{each.recipient}"
    for rule in each.rules:
        if rule not in RULES:
            yield Problem(f"{place}.rules", describe(rule, f"one of {', '.join(RULES)}", "correct the name"))
    for kind in each.kinds:
        if kind not in kinds:
            yield Problem(f"{place}.kinds", describe(kind, f"one of {', '.join(kinds)}", "correct the kind"))
    person = known.get(each.recipient)
    if person is not None and person.outside:
        public = [name for name, info in RULES.items() if info.public]
        if not each.rules or any(rule not in public for rule in each.rules):
            expected = f"only {', '.join(public)} for somebody outside"
            yield Problem(
                f"{place}.rules",
                describe(list(each.rules), expected, "name those; nothing else is published"),
            )
