"""The file of recipients: who can be told, by which channels, and who answers for what. TOML.

No addresses: the channels know these. All problems are found at once, each with its place. The file is read
again when it changes; a version with problems is reported, and the one before stands.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

import structlog
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from services.notify.domain.catalogue import RULES
from services.notify.domain.directory import Book, Directory, Subscription
from services.notify.domain.duty import Absence, Quiet, Recipient
from services.notify.metrics import NotifyMetrics
from shared.kernel.errors import PermanentError, describe
from shared.kernel.scrubbing import scrub
from shared.kernel.units import ALL, UnitRegistry
from shared.rules.alerting import Severity

log = structlog.get_logger(__name__)
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


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class _Quiet(_Part):
    start: TimeOfDay = Field(alias="from")
    end: TimeOfDay = Field(alias="to")


class _Absence(_Part):
    first: date = Field(alias="from")
    back: date


class _Recipient(_Part):
    id: Name
    label: Annotated[str, Field(min_length=1, max_length=64)]
    channels: Annotated[tuple[Name, ...], Field(min_length=1)]
    quiet: _Quiet | None = None
    working_days: bool = False
    quota: Annotated[int, Field(ge=1, le=100_000)] | None = None
    absences: tuple[_Absence, ...] = ()
    cover: Name | None = None
    outside: bool = False


class _Chain(_Part):
    unit: Annotated[str, Field(min_length=1, max_length=64)]
    officer: Name | None = None
    deputy: Name | None = None
    head: Name | None = None
    backup: Name | None = None


class _Supervisors(_Part):
    region: str
    recipients: Annotated[tuple[Name, ...], Field(min_length=1)]


class _Subscription(_Part):
    recipient: Name
    regions: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    severity: Severity = Severity.INFO


class _File(_Part):
    operators: tuple[Name, ...] = ()
    recipients: tuple[_Recipient, ...] = ()
    chains: tuple[_Chain, ...] = ()
    supervisors: tuple[_Supervisors, ...] = ()
    subscriptions: tuple[_Subscription, ...] = ()


def region_token(code: str) -> str | None:
    """Return the subject token of a GB/T 2260 code: city 4 digits, county 6, `ALL` for a province."""
    if _REGION.fullmatch(code) is None:
        return None
    if len(code) == 6:  # noqa: PLR2004 - digits of a code
        if code.endswith("0000"):
            return ALL
        return code[:4] if code.endswith("00") else code
    return code


def parse_recipients(text: str, origin: str, units: UnitRegistry, kinds: Mapping[str, str]) -> Book:
    """Read a file of recipients.

    Args:
        text: TOML.
        origin: what to call it in errors.
        units: chains may name these only.
        kinds: subscriptions may name these kinds of window only.

    Raises:
        RecipientsError: no TOML, or anything unknown, missing, repeated or contradictory; lists all of it.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipientsError(origin, (f"not valid TOML ({error}): correct the syntax there.",)) from error
    try:
        found = _File.model_validate(data)
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in issue['loc'])}: {issue['msg']}"
            for issue in error.errors(include_url=False, include_input=False)[:MOST_PROBLEMS]
        ]
        raise RecipientsError(origin, problems) from error
    problems = list(_problems(found, units, kinds))
    if problems:
        raise RecipientsError(origin, problems[:MOST_PROBLEMS])
    return _book(found)


def _book(found: _File) -> Book:
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


def _problems(found: _File, units: UnitRegistry, kinds: Mapping[str, str]) -> list[str]:
    known = {each.id: each for each in found.recipients}
    problems = [
        f"recipients: {describe(name, 'an id of its own', 'rename one of them')}"
        for name, times in Counter(each.id for each in found.recipients).items()
        if times > 1
    ]
    problems += _unknown(found, known)
    for each in found.recipients:
        place = f"recipients.{each.id}"
        if scrub(each.label, mistyped=True) != each.label:
            problems.append(
                f"{place}.label: "
                + describe("a number or an address", "the post alone", "addresses belong to the channels")
            )
        problems += [
            f"{place}.absences: {describe(str(one.back), f'a day after {one.first}', 'correct the dates')}"
            for one in each.absences
            if one.back <= one.first
        ]
        if _covers_itself(each.id, known):
            problems.append(
                f"{place}.cover: "
                + describe(each.cover, "somebody who does not lead back", "break the circle")
            )
    for name, times in Counter(each.unit for each in found.chains).items():
        if name not in units:
            problems.append(f"chains: {describe(name, 'a registered unit', 'correct the id')}")
        if times > 1:
            problems.append(f"chains: {describe(name, 'one chain for each unit', 'join them')}")
    regions = [*(each.region for each in found.supervisors)]
    regions += [code for each in found.subscriptions for code in each.regions]
    problems += [
        f"region: {describe(code, 'a GB/T 2260 code of 4 or 6 digits', 'write it like 3601 or 360102')}"
        for code in regions
        if region_token(code) is None
    ]
    problems += [
        f"supervisors: {describe(token, 'one entry for each region', 'join them')}"
        for token, times in Counter(region_token(each.region) for each in found.supervisors).items()
        if times > 1
    ]
    for each_subscription in found.subscriptions:
        problems += _subscription_problems(each_subscription, known, kinds)
    return problems


def _unknown(found: _File, known: Mapping[str, _Recipient]) -> list[str]:
    """Names that nobody has, and people from outside where only one's own may stand."""
    inside = [("operators", name) for name in found.operators]
    inside += [
        (f"chains.{each.unit}.{role}", name)
        for each in found.chains
        for role in ROLES
        if (name := getattr(each, role)) is not None
    ]
    inside += [(f"supervisors.{each.region}", name) for each in found.supervisors for name in each.recipients]
    inside += [(f"recipients.{each.id}.cover", each.cover) for each in found.recipients if each.cover]
    anybody = [("subscriptions", each.recipient) for each in found.subscriptions]
    problems = [
        f"{place}: {describe(name, 'the id of a recipient', 'add them to [[recipients]]')}"
        for place, name in (*inside, *anybody)
        if name not in known
    ]
    problems += [
        f"{place}: {describe(name, 'somebody of the administration', 'let outside people subscribe only')}"
        for place, name in inside
        if name in known and known[name].outside
    ]
    return problems


def _covers_itself(name: str, known: Mapping[str, _Recipient]) -> bool:
    at: str | None = known[name].cover
    seen: set[str] = set()
    while at is not None and at in known and at not in seen:
        if at == name:
            return True
        seen.add(at)
        at = known[at].cover
    return False


def _subscription_problems(
    each: _Subscription, known: Mapping[str, _Recipient], kinds: Mapping[str, str]
) -> list[str]:
    place = f"subscriptions.{each.recipient}"
    rules, windows = f"one of {', '.join(RULES)}", f"one of {', '.join(kinds)}"
    problems = [
        f"{place}.rules: {describe(rule, rules, 'correct the name')}"
        for rule in each.rules
        if rule not in RULES
    ]
    problems += [
        f"{place}.kinds: {describe(kind, windows, 'correct the kind')}"
        for kind in each.kinds
        if kind not in kinds
    ]
    person = known.get(each.recipient)
    if person is not None and person.outside:
        public = [name for name, info in RULES.items() if info.public]
        if not each.rules or any(rule not in public for rule in each.rules):
            problems.append(
                f"{place}.rules: "
                + describe(
                    list(each.rules),
                    f"only {', '.join(public)} for somebody outside",
                    "name those; nothing else is published",
                )
            )
    return problems


class RecipientsFile:
    """Keeps a directory's book as the file says."""

    def __init__(
        self, path: Path | None, units: UnitRegistry, kinds: Mapping[str, str], metrics: NotifyMetrics
    ) -> None:
        """Read `path`; None: there are no recipients, and every channel gets every alert."""
        self._path = path
        self._units = units
        self._kinds = kinds
        self._metrics = metrics
        self._seen: tuple[int, int] | None = None

    def read(self) -> Book:
        """Return the book.

        Raises:
            RecipientsError: the file can't be used.
            OSError: it can't be read.
        """
        if self._path is None:
            return Book()
        self._seen = self._mark()
        book = parse_recipients(
            self._path.read_text(encoding="utf-8"), str(self._path), self._units, self._kinds
        )
        self._metrics.recipients.set(len(book.recipients))
        self._metrics.recipients_invalid.set(0)
        return book

    def refresh(self, directory: Directory) -> None:
        """Take a changed file in; problems are logged, and what was read before stands."""
        try:
            if self._path is None or self._mark() == self._seen:
                return
            directory.book = self.read()
            log.info("recipients_read", recipients=len(directory.book.recipients))
        except (RecipientsError, OSError) as error:
            self._metrics.recipients_invalid.set(1)
            log.warning("recipients_unchanged", reason=str(error))

    def _mark(self) -> tuple[int, int]:
        state: Any = self._path.stat() if self._path else None
        return (state.st_mtime_ns, state.st_size)
