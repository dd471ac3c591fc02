"""Screening 筛查: which ratings look as if nobody meant them, and are held until somebody has looked.

A fold over the ratings in the order of the stream. For each unit it counts what shares a device, an address
or a text within the rule's window, how many unverified ratings come in all, and how many each channel vouches
for. Whoever folds the same ratings from the same state decides the same; nothing here asks a clock or a die.

A rating is held at most once, for the first cause that is found; the causes are looked at from the most to
the least telling. What is held is visible and can be released: see docs/screening.md and ADR 0031.
"""

import hashlib
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any, Final, NamedTuple

from services.intake.domain.screening_clusters import Cluster, Member, limits_of
from services.intake.domain.screening_flows import TOKENS, UNVERIFIED, Flow, UnitPace
from services.intake.domain.screening_pace import (
    Pace,
    day_of,
    is_surge,
    surge_limit,
    usual,
    usual_vouched,
    usual_week,
)
from services.intake.domain.screening_seen import Fingerprints, Seen
from services.intake.domain.screening_terminals import names_of
from shared.kernel.grades import Source, Verification
from shared.kernel.reasons import QuarantineReason
from shared.rules.screening import ClusterRule, Screening, Vouched

FORMAT: Final = 3
"""Version of what `Screen.dump` gives."""
SWEEP_MS: Final = 3_600_000


class Trait(StrEnum):
    """What the members of a cluster have in common."""

    DEVICE = "device"
    SHARED_DEVICE = "shared_device"
    ADDRESS = "address"
    TEXT = "text"
    NEAR_TEXT = "near_text"
    SURGE = "surge"
    VOUCHED = "vouched"


REASONS: Final = {
    Trait.DEVICE: QuarantineReason.SHARED_DEVICE,
    Trait.SHARED_DEVICE: QuarantineReason.SHARED_DEVICE,
    Trait.ADDRESS: QuarantineReason.SHARED_DEVICE,
    Trait.TEXT: QuarantineReason.SHARED_TEXT,
    Trait.NEAR_TEXT: QuarantineReason.SHARED_TEXT,
    Trait.SURGE: QuarantineReason.BURST,
    Trait.VOUCHED: QuarantineReason.BURST,
}
"""The reason that goes into the event, for each trait."""


class Hold(NamedTuple):
    """A rating that is to be held.

    Attributes:
        sequence: its place in FEEDBACK.
        received_ms: when it was received, Unix milliseconds.
        cluster: opaque name of what it is held with; the same for all of one unit, cause and day.
    """

    event_id: str
    sequence: int
    received_ms: int
    reason: QuarantineReason
    trait: Trait
    cluster: str


class Release(NamedTuple):
    """A rating that was held because of a surge which something else explains now."""

    event_id: str
    sequence: int
    received_ms: int


class Screen:
    """The fold's state under one version of the rules.

    Memory: about 1 kB for each rating that is not exempt, as long as the longest window is, and never for
    more than `Screening.most_members`; less than 1 kB for each unit.
    """

    def __init__(self, rules: Screening) -> None:
        """Nothing has been seen."""
        self.rules = rules
        self.position = 0
        """Sequence of the last rating that was looked at."""
        self.forgotten = 0
        """Ratings that `most_members` made it forget early."""
        self._longest_ms = int(
            max(rule.within_s for rule in (*rules.surges, *rules.vouched.surges, *rules.tokens.surges)) * 1000
        )
        self._now_ms = 0
        self._first_day: int | None = None
        self._swept_ms = 0
        self._units: dict[str, UnitPace] = {}
        self._kinds: dict[str, Pace] = {}
        self._clusters: dict[str, Cluster | Member] = {}
        self._within: dict[str, float] = {
            trait.value: rule.within_s
            for trait, rule in (
                (Trait.DEVICE, rules.device), (Trait.SHARED_DEVICE, rules.shared_device),
                (Trait.ADDRESS, rules.address), (Trait.TEXT, rules.text), (Trait.NEAR_TEXT, rules.near_text),
            )
        }  # fmt: skip
        self._staff = frozenset(str(each) for each in rules.staff_channels)
        self._shared = frozenset(str(each) for each in rules.shared_device_channels)

    def __len__(self) -> int:
        """How many fingerprints are remembered."""
        return len(self._clusters)

    def under(self, rules: Screening) -> "Screen":
        """This screen under other rules: what was seen is kept where the windows allow it."""
        if rules == self.rules:
            return self
        other = Screen(rules)
        mine = self.rules
        if (rules.baseline.days, rules.surges, rules.vouched, rules.tokens, rules.familiar) == (
            mine.baseline.days, mine.surges, mine.vouched, mine.tokens, mine.familiar,
        ):  # fmt: skip
            other.load(self.dump())
        else:
            other.position = self.position
        return other

    def look_at(self, seen: Seen) -> list[Hold | Release]:
        """Take one rating in; what is decided now: about it, earlier ones, both or nothing."""
        self.position = seen.sequence
        if not self.rules.enabled or seen.synthetic or seen.source != Source.PUBLIC:
            return []
        now_ms = self._now_ms = max(self._now_ms, seen.received_ms)
        day = day_of(now_ms)
        if self._first_day is None:
            self._first_day = day
        if now_ms - self._swept_ms >= SWEEP_MS or len(self._clusters) > 8 * self.rules.most_members:
            self._sweep(now_ms)
        unit, peers = self._pace_of(seen, day)
        verified = seen.verification == Verification.TRANSACTION
        watched = min(day - self._first_day, self.rules.baseline.days)
        if verified and seen.by_token:
            return self._look_at_vouched(seen, TOKENS, unit, peers, watched, now_ms, day)
        if seen.imported and self.rules.exempt_imports:
            return []
        if verified or seen.channel in self._staff:
            return self._look_at_vouched(seen, seen.channel, unit, peers, watched, now_ms, day)
        return self._look_at_unverified(seen, unit, peers, watched, now_ms, day)

    def _pace_of(self, seen: Seen, day: int) -> tuple[UnitPace, Pace]:
        peers = self._peers(seen.kind, day)
        unit = self._units.get(seen.unit_id)
        if unit is None:
            unit = self._units[seen.unit_id] = UnitPace(self.rules, seen.kind, day)
            peers.units += 1
        unit.pace.turn(day)
        return unit, peers

    def _peers(self, name: str, day: int) -> Pace:
        peers = self._kinds.get(name)
        if peers is None:
            peers = self._kinds[name] = Pace(self.rules.baseline.days, day)
            peers.units = 0
        peers.turn(day)
        return peers

    def _look_at_unverified(
        self, seen: Seen, unit: UnitPace, peers: Pace, watched: int, now_ms: int, day: int
    ) -> list[Hold | Release]:
        rules = self.rules
        unit.pace.today[0] += 1
        peers.today[0] += 1
        usual_day = usual(unit.pace, peers, watched, rules.baseline, now_ms)
        member = Member(now_ms, seen.sequence, seen.event_id, UNVERIFIED)
        decided = self._clustered(seen, self._traits(seen), member, unit, usual_day, now_ms, day)
        if not member.held:
            flow = unit.flow(UNVERIFIED, rules, day)
            dispersion = rules.baseline.dispersion
            held = flow.take(member, now_ms, rules.surges, usual_day, dispersion, over=False)
            decided += [
                self._hold(each, Trait.SURGE, f"{Trait.SURGE.value}:{seen.unit_id}", day) for each in held
            ]
        return decided

    def _look_at_vouched(
        self, seen: Seen, name: str, unit: UnitPace, peers: Pace, watched: int, now_ms: int, day: int
    ) -> list[Hold | Release]:
        """What a channel claims, staff took down, or a token proves; `name` says whose word it is."""
        by_token = name == TOKENS
        rules, dispersion = self.rules.word_of(by_token=by_token), self.rules.baseline.dispersion
        everywhere = self._peers(f"{seen.kind}/{name}", day)
        if name not in unit.flows:
            everywhere.units += 1
        flow = unit.flow(name, self.rules, day)
        flow.turn(day)
        own = flow.pace
        assert own is not None  # noqa: S101 - a channel's flow has one
        if by_token and flow.is_calm(now_ms, rules):
            any_day = today = 0.0  # no limit is below its `least`
        else:
            any_day, today = usual_vouched(own, everywhere, watched, self.rules.baseline, now_ms)
        member = Member(now_ms, seen.sequence, seen.event_id, name)
        decided = self._clustered(seen, self._traits_of_vouched(seen), member, unit, today, now_ms, day)
        if not is_surge(own.today[0] + 1, rules.day, any_day, dispersion):
            own.today[0] += 1
            everywhere.today[0] += 1
        if not member.held:
            own.today[1] += 1
            if is_surge(own.today[1], rules.day, any_day, dispersion):
                own.today[1] = surge_limit(rules.day, any_day, dispersion)
            over = self._is_over(own, everywhere, rules, watched)
            familiar, terminal = self.rules.familiar, tuple[str, ...]()
            if not by_token and seen.channel in self._shared:
                terminal = names_of(seen)
                member.familiar = flow.terminals.knows(terminal, day, familiar)
            held = flow.take(member, now_ms, rules.surges, today, dispersion, over=over, spared=familiar.pace)
            key = f"{Trait.VOUCHED.value}:{seen.unit_id}:{name}"
            decided += [self._hold(each, Trait.VOUCHED, key, day) for each in held]
            if terminal and not member.held:
                flow.terminals.note(terminal, day, familiar)
        if by_token:
            self._credit(flow, own, unit, peers, most=own.today[1])
        elif name not in self._staff:
            self._credit(flow, own, unit, peers, most=int(rules.day.ratio * today))
        return decided

    def _is_over(self, own: Pace, everywhere: Pace, rules: Vouched, watched: int) -> bool:
        """Whether more count of a channel's week than the days before it make plausible."""
        days = rules.week_days
        if own.total(1) + own.today[1] <= rules.week.least:
            return False
        week = own.within(1, days)
        if week <= rules.week.least:
            return False
        baseline = self.rules.baseline
        expected = usual_week(own, everywhere, watched, baseline, days)
        return is_surge(week, rules.week, expected, baseline.dispersion)

    @staticmethod
    def _credit(flow: Flow, own: Pace, unit: UnitPace, peers: Pace, most: int) -> None:
        """Let as many claims say how busy the unit is as are not held, up to `most` a day.

        What is held excuses nothing, nor does what comes in just below the limits of a small unit.
        """
        credited = min(own.today[1], most)
        unit.pace.today[1] += credited - flow.credited
        peers.today[1] += credited - flow.credited
        flow.credited = credited

    def _clustered(
        self,
        seen: Seen,
        traits: Iterable[tuple[Trait, ClusterRule, str]],
        member: Member,
        unit: UnitPace,
        usual_day: float,
        now_ms: int,
        day: int,
    ) -> list[Hold | Release]:
        """Let the rating join its clusters; whom they hold, and whom surges let go because of it."""
        decided: list[Hold | Release] = []
        relieved: set[str] = set()
        for trait, rule, fingerprint in traits:
            key = f"{trait.value}:{seen.unit_id}:{fingerprint}"
            if trait is Trait.DEVICE and not member.device:
                member.device = key  # the oldest key's: that cluster is the whole one
            for each in self._join(key, member, rule, usual_day, now_ms):
                if each.explained:
                    continue
                if not each.held:
                    decided.append(self._hold(each, trait, key, day))
                if each.in_surge:
                    relieved.add(each.flow)
                self._explain(each, unit)
        for name in sorted(relieved):
            decided += [
                Release(each.event_id, each.sequence, each.received_ms)
                for each in unit.flows[name].relent(self._may_grow)
            ]
        return decided

    @staticmethod
    def _explain(member: Member, unit: UnitPace) -> None:
        """Let a cluster answer for a rating."""
        flow = unit.flows.get(member.flow)
        if flow is not None:
            flow.explain(member)
        member.held, member.in_surge = True, False

    def _may_grow(self, member: Member) -> bool:
        """Whether its private device has come more than once."""
        return isinstance(self._clusters.get(member.device), Cluster)

    def _traits(self, seen: Seen) -> Iterator[tuple[Trait, ClusterRule, str]]:
        """What the rating may share with others: under every live key, since these may know either."""
        rules = self.rules
        now: tuple[Fingerprints | Seen, ...] = (*seen.earlier, seen) if seen.earlier else (seen,)
        shared = seen.channel in self._shared
        for each in now:
            if each.device is not None:
                if shared:
                    yield Trait.SHARED_DEVICE, rules.shared_device, each.device
                else:
                    yield Trait.DEVICE, rules.device, each.device
        for each in now:
            if each.address is not None:
                yield Trait.ADDRESS, rules.address, each.address
        for each in now:
            if each.text_bands and each.text is not None:
                yield Trait.TEXT, rules.text, each.text
        for each in now:
            for number, band in enumerate(each.text_bands):
                yield Trait.NEAR_TEXT, rules.near_text, f"{number}.{band}"

    def _traits_of_vouched(self, seen: Seen) -> Iterator[tuple[Trait, ClusterRule, str]]:
        """A citizen's own device; a terminal, a switchboard and a desk serve many."""
        if seen.channel in self._shared or seen.channel in self._staff:
            return
        for device in (*(earlier.device for earlier in seen.earlier), seen.device):
            if device is not None:
                yield Trait.DEVICE, self.rules.device, device

    def _join(
        self, key: str, member: Member, rule: ClusterRule, usual_day: float, now_ms: int
    ) -> list[Member]:
        found = self._clusters.get(key)
        if found is None:
            self._clusters[key] = member  # most fingerprints come once: no cluster yet
            return []
        limits = limits_of(rule, usual_day)
        if isinstance(found, Member):
            cluster = Cluster(rule.within_s)
            first_ms = found.received_ms
            excess = []
            if now_ms - first_ms <= rule.within_s * 1000:
                excess = cluster.add(found, first_ms, rule.within_s, limits)
            self._clusters[key] = cluster
            return [*excess, *cluster.add(member, now_ms, rule.within_s, limits)]
        return found.add(member, now_ms, rule.within_s, limits)

    @staticmethod
    def _hold(member: Member, trait: Trait, key: str, day: int) -> Hold:
        # Fingerprints are keyed already; the digest only makes the name short.
        name = hashlib.blake2s(f"{key}:{day}".encode(), digest_size=8).hexdigest()
        return Hold(
            member.event_id,
            member.sequence,
            member.received_ms,
            REASONS[trait],
            trait,
            f"{trait.value}-{name}",
        )

    def _sweep(self, now_ms: int) -> None:
        """Forget what no window reaches any more; more, oldest first, where that leaves too much."""
        self._swept_ms = now_ms
        alive: dict[str, Cluster | Member] = {}
        for key, each in self._clusters.items():
            last_ms = each.received_ms if isinstance(each, Member) else each.last_ms
            if now_ms - last_ms <= self._within[key.partition(":")[0]] * 1000:
                alive[key] = each
        most = 4 * self.rules.most_members  # a rating has about four fingerprints
        if len(alive) > most:
            excess = len(alive) - most
            self.forgotten += excess
            newest = sorted(
                alive.items(),
                key=lambda item: item[1].received_ms if isinstance(item[1], Member) else item[1].last_ms,
            )
            alive = dict(newest[excess:])
        self._clusters = alive
        for unit in self._units.values():
            for flow in unit.flows.values():
                flow.forget(now_ms - self._longest_ms)

    def dump(self) -> dict[str, Any]:
        """Everything, as numbers and texts; `load` takes it back."""
        members: dict[int, int] = {}
        table: list[list[Any]] = []

        def number(member: Member) -> int:
            place = members.get(id(member))
            if place is None:
                place = members[id(member)] = len(table)
                table.append(member.dump())
            return place

        return {
            "format": FORMAT,
            "position": self.position,
            "forgotten": self.forgotten,
            "now_ms": self._now_ms,
            "first_day": self._first_day,
            "units": {
                unit_id: [
                    unit.kind,
                    unit.pace.dump(),
                    {name: flow.dump(number) for name, flow in unit.flows.items()},
                ]
                for unit_id, unit in self._units.items()
            },
            "kinds": {kind: pace.dump() for kind, pace in self._kinds.items()},
            "clusters": {
                key: number(each)
                if isinstance(each, Member)
                else [
                    each.last_ms,
                    each.count.dump(),
                    [number(one) for one in each.open if not one.explained],
                ]
                for key, each in self._clusters.items()
            },
            "members": table,
        }

    def load(self, dumped: dict[str, Any]) -> None:
        """Take up what `dump` gave: looking on gives what the dumped screen would have given.

        Raises:
            KeyError: it is something else.
            ValueError: it is of another version.
        """
        if dumped["format"] != FORMAT:
            raise ValueError(f"format {dumped['format']}, expected {FORMAT}")
        members = [Member.load(each) for each in dumped["members"]]
        self.position, self.forgotten = dumped["position"], dumped["forgotten"]
        self._now_ms, self._first_day = dumped["now_ms"], dumped["first_day"]
        day = day_of(self._now_ms)
        for unit_id, (kind, pace, flows) in dumped["units"].items():
            unit = self._units[unit_id] = UnitPace(self.rules, kind, day)
            unit.pace.load(pace)
            for name, flow in flows.items():
                unit.flow(name, self.rules, day).load(flow, members)
        for kind, pace in dumped["kinds"].items():
            self._kinds[kind] = Pace(self.rules.baseline.days, day)
            self._kinds[kind].load(pace)
        for key, said in dumped["clusters"].items():
            if isinstance(said, int):
                self._clusters[key] = members[said]
                continue
            cluster = self._clusters[key] = Cluster(self._within[key.partition(":")[0]])
            cluster.last_ms = said[0]
            cluster.count.load(said[1])
            cluster.open = [members[place] for place in said[2]]
