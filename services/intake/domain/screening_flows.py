"""Flows: ratings of one unit that are counted together, and held together when far too many come at once.

The unverified ratings of a unit are one flow. What a channel vouches for at the unit, a transaction that it
names or that staff took the rating down, is one for each channel: whoever has got hold of one channel's
credential does not drag the other channels along. What one-time tokens prove is one flow, whatever channel
they are used through: they are the word of whoever issues tokens for the unit.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from services.intake.domain.screening_clusters import Member
from services.intake.domain.screening_pace import Pace, day_of, is_surge, surge_limit
from services.intake.domain.screening_terminals import Terminals
from services.intake.domain.sliding import SlidingCount
from shared.rules.screening import Screening, SurgeRule, Vouched

UNVERIFIED: Final = ""
"""Name of the flow of a unit's unverified ratings; the others are named like their channels."""
TOKENS: Final = "token"
"""Name of the flow of what one-time tokens prove."""
_EXPLICABLE: Final = 100
"""A surge's members are remembered up to so many times its limit: bounds the memory."""


class Surge:
    """A surge that goes on.

    Attributes:
        limit: so many would have been none.
        members: who is held because of it; forgotten once it is too large to be explained.
        unexplained: how many of all that came with it no cluster explains.
    """

    __slots__ = ("limit", "members", "unexplained")

    def __init__(self, limit: int) -> None:
        """Without members."""
        self.limit = limit
        self.members: list[Member] = []
        self.unexplained = 0

    def hold(self, member: Member) -> None:
        """One more is held."""
        self.unexplained += 1
        if len(self.members) <= _EXPLICABLE * self.limit:
            self.members.append(member)


class Flow:
    """One flow.

    Attributes:
        counts: how many came within each of the surge rules' windows.
        recent: those that are not held, as far back as the longest window reaches, oldest first.
        surge: the surge that goes on.
        pace: of what a channel vouches for, see `Pace`; None for unverified ratings.
        credited: so many of today's count for how busy the unit is.
        terminals: the devices of the service that it came from.
        familiar: how many came lately from familiar ones.
    """

    __slots__ = ("_reach_ms", "counts", "credited", "familiar", "pace", "recent", "surge", "terminals")

    def __init__(self, surges: Sequence[SurgeRule], pace: Pace | None = None, familiar_s: float = 0) -> None:
        """Nothing has come yet; `surges` are the rules, the shorter first."""
        self.counts = tuple(SlidingCount(surge.within_s) for surge in surges)
        self.recent: deque[Member] = deque()
        self.surge: Surge | None = None
        self.pace = pace
        self.credited = 0
        self.terminals = Terminals()
        self.familiar = SlidingCount(familiar_s)
        self._reach_ms = int(surges[-1].within_s * 1000)

    def is_calm(self, now_ms: int, rules: Vouched) -> bool:
        """Whether one more can't be a surge, whatever is usual: it is not even the least of one."""
        pace = self.pace
        return (
            pace is not None
            and pace.today[0] < rules.day.least
            and pace.total(1) + pace.today[1] < rules.week.least
            and all(
                count.at(now_ms) < rule.least for rule, count in zip(rules.surges, self.counts, strict=True)
            )
        )

    def take(
        self,
        member: Member,
        now_ms: int,
        surges: Sequence[SurgeRule],
        usual_day: float,
        dispersion: float,
        *,
        over: bool,
        spared: SurgeRule | None = None,
    ) -> list[Member]:
        """Take a rating in; who is held from now on because of a surge, back to the window's beginning.

        Args:
            member: the rating.
            now_ms: Unix milliseconds.
            surges: the rules that the flow was made with.
            usual_day: ratings of the flow that may be expected on a day such as today.
            dispersion: see `Baseline`.
            over: whether it is a surge whatever the rules say.
            spared: the pace at which familiar terminals are not held with a surge of others.
        """
        member.counted = True
        if member.familiar:
            self.familiar.add(now_ms)
        reach_ms, surging = 0, None
        for rule, count in zip(surges, self.counts, strict=True):
            if is_surge(count.add(now_ms), rule, usual_day, dispersion):
                reach_ms, surging = max(reach_ms, int(rule.within_s * 1000)), rule
        if over:
            reach_ms, surging = self._reach_ms, surges[-1]
        recent = self.recent
        while recent and (recent[0].received_ms < now_ms - self._reach_ms or recent[0].held):
            recent.popleft()
        recent.append(member)
        if surging is None:
            self.surge = None
            return []
        if self.surge is None:
            self.surge = Surge(surge_limit(surging, usual_day, dispersion))
        spares = spared is not None and not is_surge(self.familiar.at(now_ms), spared, usual_day, dispersion)
        return self._held_since(now_ms - reach_ms, self.surge, spares=spares)

    def _held_since(self, from_ms: int, surge: Surge, *, spares: bool) -> list[Member]:
        """Hold what came from `from_ms` on; familiar terminals are spared if it `spares` them."""
        held = []
        kept: deque[Member] = deque()
        for each in self.recent:
            if each.held:
                continue
            if each.received_ms < from_ms or (spares and each.familiar):
                kept.append(each)
                continue
            each.held = each.in_surge = True
            surge.hold(each)
            self._uncount(each)
            held.append(each)
        self.recent = kept
        return held

    def turn(self, day: int) -> None:
        """Close the days before `day`."""
        if self.pace is not None and self.pace.turn(day):
            self.credited = 0

    def explain(self, member: Member) -> None:
        """A cluster answers for this rating of the flow."""
        if not member.in_surge:
            self._uncount(member)
        elif self.surge is not None:
            self.surge.unexplained -= 1
        if member.counted:
            member.counted = False
            for count in self.counts:
                count.take_back(member.received_ms)

    def _uncount(self, member: Member) -> None:
        if self.pace is not None and member.counted:
            self.pace.take_back(1, day_of(member.received_ms))

    def relent(self, may_grow: Callable[[Member], bool]) -> list[Member]:
        """Who is let go, since clusters have explained so many of the surge that the rest is none.

        Not those whose cluster `may_grow` still.
        """
        surge = self.surge
        if surge is None or surge.unexplained > surge.limit:
            return []
        released: list[Member] = []
        left: list[Member] = []
        for member in surge.members:
            if not member.in_surge:
                continue
            if may_grow(member):
                left.append(member)
                continue
            member.held = member.in_surge = False
            surge.unexplained -= 1
            released.append(member)
        surge.members = left
        return released

    def forget(self, before_ms: int) -> None:
        """Forget what no window reaches any more."""
        if self.recent:  # most flows are asleep, and all of a province's are asked every hour
            kept = (each for each in self.recent if each.received_ms >= before_ms and not each.held)
            self.recent = deque(kept)

    def dump(self, number: Callable[[Member], int]) -> list[Any]:
        """Everything, as numbers; `number` gives that of a member. `load` takes it back."""
        return [
            [count.dump() for count in self.counts],
            [number(each) for each in self.recent if not each.held],
            None
            if self.surge is None
            else [self.surge.limit, self.surge.unexplained, [number(each) for each in self.surge.members]],
            None if self.pace is None else self.pace.dump(),
            self.credited,
            self.terminals.dump(),
            self.familiar.dump(),
        ]

    def load(self, dumped: list[Any], members: list[Member]) -> None:
        """Take up what `dump` gave."""
        counts, recent, surge, pace, self.credited, terminals, familiar = dumped
        self.terminals.load(terminals)
        self.familiar.load(familiar)
        for count, said in zip(self.counts, counts, strict=True):
            count.load(said)
        self.recent = deque(members[place] for place in recent)
        if surge is not None:
            self.surge = Surge(surge[0])
            self.surge.unexplained = surge[1]
            self.surge.members = [members[place] for place in surge[2]]
        if self.pace is not None:
            self.pace.load(pace)


class UnitPace:
    """A unit's pace, and its flows by name."""

    __slots__ = ("flows", "kind", "pace")

    def __init__(self, rules: Screening, kind: str, day: int) -> None:
        """Nothing has come yet."""
        self.kind = kind
        self.pace = Pace(rules.baseline.days, day)
        self.flows: dict[str, Flow] = {}

    def flow(self, name: str, rules: Screening, day: int) -> Flow:
        """The flow of that name, made where it is new."""
        flow = self.flows.get(name)
        if flow is None:
            flow = self.flows[name] = self._new(name, rules, day)
        return flow

    @staticmethod
    def _new(name: str, rules: Screening, day: int) -> Flow:
        if name == UNVERIFIED:
            return Flow(rules.surges)
        surges = rules.word_of(by_token=name == TOKENS).surges
        return Flow(surges, Pace(rules.baseline.days, day), rules.familiar.pace.within_s)
