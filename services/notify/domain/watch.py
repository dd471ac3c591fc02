"""Counts that surges, quarantine shares and stale rankings are seen in: a bounded fold of FEEDBACK.

Hours and not single ratings: memory grows with places and hours. Nothing here knows a citizen. A rating
counts in the hour in which it was given, so an import of last month's ratings is no surge of today.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from services.notify.domain.chance import upper_tail, usual
from services.notify.domain.findings import HeldShare, Staleness, Surge
from shared.rules.alerting import QuarantineShareRule, RankingStaleRule, SurgeRule

EVIDENCE: Final = 20
"""Most event ids that a finding names."""
HOUR_S: Final = 3600
HOURS_OF_DAY: Final = 24
MINUTE_S: Final = 60
_MINUTE: Final = timedelta(seconds=MINUTE_S)
OUT_KEPT: Final = 200_000
"""Ratings taken out that are remembered, so that each is taken out once; more than a month brings."""

ANY: Final = ""
"""Of a kind of window, or of an issue: no matter which."""
Place = tuple[str, str, str, str]
"""City, county, kind of window, issue: bad reviews of one kind, or of one issue whatever the kind."""


@dataclass(frozen=True, slots=True)
class Rating:
    """What is counted of a rating.

    Attributes:
        event_id: id of its event.
        unit_id: the unit.
        city: subject token.
        county: subject token.
        kind: kind of window.
        grade: 1-5.
        given_at: when it was given.
        received_at: when the platform received it.
        counted: whether rankings count it: by the public and no drill.
        issues: what the citizen found bad: the dimensions 五比 with a sub-grade that is.
    """

    event_id: str
    unit_id: str
    city: str
    county: str
    kind: str
    grade: int
    given_at: datetime
    received_at: datetime
    counted: bool = True
    issues: tuple[str, ...] = ()


@dataclass(slots=True)
class _Series:
    hours: Counter[int] = field(default_factory=Counter)
    latest: deque[tuple[str, datetime, int]] = field(default_factory=lambda: deque(maxlen=EVIDENCE))


@dataclass(slots=True)
class _Unit:
    ratings: Counter[int] = field(default_factory=Counter)
    held: Counter[int] = field(default_factory=Counter)
    latest: deque[tuple[str, datetime]] = field(default_factory=lambda: deque(maxlen=EVIDENCE))


@dataclass(slots=True)
class _Minute:
    """Ratings of one minute of receipt."""

    count: int
    last_sequence: int
    first_at: datetime
    until: datetime


def hour_of(moment: datetime) -> int:
    """Hours since 1970."""
    return int(moment.timestamp()) // HOUR_S


class Watch:
    """Folds ratings and what became of them; asked at any time for what stands out.

    A redelivery must not reach it: whoever reads the stream does so in order, each sequence once.
    """

    def __init__(self, rule: SurgeRule) -> None:
        """Count bad reviews as `rule` says."""
        self.worst_grade = rule.worst_grade
        """Grades from 1 to this are bad."""
        self._keep_hours = rule.baseline_days * HOURS_OF_DAY + rule.hours + 1
        self._places: defaultdict[Place, _Series] = defaultdict(_Series)
        self._units: defaultdict[str, _Unit] = defaultdict(_Unit)
        self._where: dict[str, tuple[str, str]] = {}
        self._out: dict[str, None] = {}
        self._held: dict[str, None] = {}
        self._minutes: deque[_Minute] = deque()
        self._first_hour: int | None = None
        self._newest_hour = 0
        self.touched_places: set[Place] = set()
        """Places with a bad review or a bad sub-grade since `surges` was asked."""
        self.touched_units: set[str] = set()
        """Units with a held rating since `held_shares` was asked."""

    def rated(self, rating: Rating, sequence: int) -> None:
        """Take one rating in."""
        if not rating.counted:
            return
        hour = hour_of(rating.given_at)
        self.seen(rating.unit_id, (rating.city, rating.county), hour, rating.received_at, sequence)
        for place in self._places_of(rating):
            series = self._places[place]
            series.hours[hour] += 1
            series.latest.append((rating.event_id, rating.received_at, hour))
            self.touched_places.add(place)

    def seen(
        self, unit_id: str, where: tuple[str, str], hour: int, received_at: datetime, sequence: int
    ) -> None:
        """Count a rating that nothing is bad about: all there is to most of them."""
        last = self._minutes[-1] if self._minutes else None
        if last is not None and received_at < last.until:
            last.count += 1
            last.last_sequence = sequence
        else:
            self._minutes.append(_Minute(1, sequence, received_at, received_at + _MINUTE))
            if len(self._minutes) > HOURS_OF_DAY * MINUTE_S:
                self._minutes.popleft()
        if self._first_hour is None or hour < self._first_hour:
            self._first_hour = hour
        self._where[unit_id] = where
        self._units[unit_id].ratings[hour] += 1
        if hour > self._newest_hour:
            next_day = hour // HOURS_OF_DAY > self._newest_hour // HOURS_OF_DAY
            self._newest_hour = hour
            if next_day:  # it looks at every unit
                self._forget(hour - self._keep_hours)

    def taken_out(self, rating: Rating, *, event_id: str, held: bool) -> None:
        """A rating does not count any more: held, excluded or withdrawn, by the decision `event_id`."""
        hour = hour_of(rating.given_at)
        unit = self._units[rating.unit_id]
        if held and rating.event_id not in self._held:
            _remember(self._held, rating.event_id)
            unit.held[hour] += 1
            unit.latest.append((event_id, rating.received_at))
            self.touched_units.add(rating.unit_id)
            self._where.setdefault(rating.unit_id, (rating.city, rating.county))
        if rating.event_id in self._out:
            return
        _remember(self._out, rating.event_id)
        self._count(rating, hour, -1)

    def put_back(self, rating: Rating) -> None:
        """A rating counts again: released or reinstated."""
        hour = hour_of(rating.given_at)
        if self._held.pop(rating.event_id, 0) is None:
            self._units[rating.unit_id].held[hour] -= 1
        if self._out.pop(rating.event_id, 0) is None:
            self._count(rating, hour, 1)

    def corrected(self, before: Rating, after: Rating) -> None:
        """A rating's fields changed."""
        if before.event_id not in self._out:
            self._count(before, hour_of(before.given_at), -1)
            self._count(after, hour_of(after.given_at), 1)

    def _count(self, rating: Rating, hour: int, by: int) -> None:
        if not rating.counted:
            return
        for place in self._places_of(rating):
            series = self._places[place]
            series.hours[hour] += by
            if by < 0:
                kept = [each for each in series.latest if each[0] != rating.event_id]
                series.latest.clear()
                series.latest.extend(kept)

    def issues_of(self, dimensions: Mapping[str, int | None] | None) -> tuple[str, ...]:
        """The dimensions with a bad sub-grade."""
        if dimensions is None:
            return ()
        return tuple(
            name for name, grade in dimensions.items() if grade is not None and grade <= self.worst_grade
        )

    def _places_of(self, rating: Rating) -> Iterator[Place]:
        """Where a rating counts as bad: among those of its kind of window, and for each of its issues."""
        if rating.grade <= self.worst_grade:
            yield rating.city, rating.county, rating.kind, ANY
        for issue in rating.issues:
            yield rating.city, rating.county, ANY, issue

    def _forget(self, before: int) -> None:
        for counts in (
            *(series.hours for series in self._places.values()),
            *(each for unit in self._units.values() for each in (unit.ratings, unit.held)),
        ):
            for hour in [hour for hour in counts if hour < before]:
                del counts[hour]
        for unit_id in [each for each, unit in self._units.items() if not unit.ratings and not unit.held]:
            del self._units[unit_id]

    def surges(self, rule: SurgeRule, now: datetime, places: Iterable[Place] | None = None) -> list[Surge]:
        """Return the surges among `places`; None: those touched since the last time."""
        if places is None:
            places, self.touched_places = self.touched_places, set()
        found = (self._surge(rule, place, now) for place in sorted(places))
        return [each for each in found if each is not None]

    def _surge(self, rule: SurgeRule, place: Place, now: datetime) -> Surge | None:
        series = self._places[place]
        end = hour_of(now) + 1
        start = end - rule.hours
        count = sum(number for hour, number in series.hours.items() if start <= hour < end)
        if count < rule.min_ratings or self._first_hour is None:
            return None
        days = min(rule.baseline_days, (start - self._first_hour) // HOURS_OF_DAY)
        if days < rule.min_history_days:
            return None
        daily = [0] * days
        for hour, number in series.hours.items():
            back = (start - 1 - hour) // HOURS_OF_DAY
            if hour < start and back < days:
                daily[back] += number
        mean, variance = usual([max(0, each) for each in daily], rule.hours / HOURS_OF_DAY)
        probability = upper_tail(count, mean, variance)
        if count < rule.min_ratio * mean or probability > rule.probability:
            return None
        latest = [each for each in reversed(series.latest) if start <= each[2] < end]
        if not latest:
            return None
        city, county, kind, issue = place
        evidence = tuple(each[0] for each in latest)
        return Surge(city, county, kind, count, mean, probability, days, evidence, latest[0][1], issue)

    def held_shares(
        self, rule: QuarantineShareRule, now: datetime, units: Iterable[str] | None = None
    ) -> list[HeldShare]:
        """Return the units among `units` with too large a share of held ratings; None: those touched."""
        if units is None:
            units, self.touched_units = self.touched_units, set()
        start = hour_of(now) + 1 - rule.hours
        found: list[HeldShare] = []
        for unit_id in sorted(units):
            unit = self._units[unit_id]
            held = sum(number for hour, number in unit.held.items() if hour >= start)
            ratings = sum(number for hour, number in unit.ratings.items() if hour >= start)
            if held < rule.min_held or held < rule.share * max(ratings, held) or not unit.latest:
                continue
            city, county = self._where[unit_id]
            latest = tuple(event_id for event_id, _ in reversed(unit.latest))
            found.append(
                HeldShare(unit_id, city, county, held, max(ratings, held), latest, unit.latest[-1][1])
            )
        return found

    def stale(self, rule: RankingStaleRule, now: datetime, position: int) -> Staleness | None:
        """Return what no ranking up to `position` of FEEDBACK contains; None if that is little or new."""
        limit = now - timedelta(minutes=rule.minutes)
        while self._minutes and self._minutes[0].last_sequence <= position:
            self._minutes.popleft()
        late = [each for each in self._minutes if each.first_at <= limit]
        waiting = sum(each.count for each in late)
        if waiting < rule.min_ratings:
            return None
        return Staleness(position, waiting, late[0].first_at, late[-1].last_sequence)


def _remember(among: dict[str, None], event_id: str) -> None:
    if len(among) >= OUT_KEPT:
        among.pop(next(iter(among)))
    among[event_id] = None


def start_of(rule: SurgeRule, now: datetime) -> datetime:
    """From when on ratings must be folded to judge at `now`."""
    return now.astimezone(UTC) - timedelta(days=rule.baseline_days, hours=rule.hours + 1)
