"""Clusters 聚集: ratings of one unit that share a device, an address or a text, and who of them is held."""

import math
from typing import Any, Final, NamedTuple

from services.intake.domain.sliding import SlidingCount
from shared.rules.screening import ClusterRule

_SLACK: Final = 16
"""Members that may be kept beyond what is needed, so that the list is not looked through each time."""


class Member:
    """One rating as screening remembers it: in each of its clusters the same object.

    Attributes:
        received_ms: when it was received, Unix milliseconds.
        sequence: place in FEEDBACK.
        event_id: of its FeedbackSubmitted.
        device: key of its private device's cluster; empty where it has none.
        flow: name of its unit's flow that it is in, see `screening_flows`.
        held: whether it is held.
        familiar: whether it came from a familiar terminal of the unit's, see `screening_terminals`.
        counted: whether it is one of the flow's ratings that no cluster explains.
        in_surge: whether it is held because of a surge, and no cluster explains it yet.
    """

    __slots__ = (
        "counted", "device", "event_id", "familiar", "flow", "held", "in_surge", "received_ms", "sequence",
    )  # fmt: skip

    def __init__(self, received_ms: int, sequence: int, event_id: str, flow: str, device: str = "") -> None:
        """A rating that counts."""
        self.received_ms = received_ms
        self.sequence = sequence
        self.event_id = event_id
        self.flow = flow
        self.device = device
        self.familiar = False
        self.held = False
        self.counted = False
        self.in_surge = False

    @property
    def explained(self) -> bool:
        """Whether it is held with a cluster."""
        return self.held and not self.in_surge

    def dump(self) -> list[Any]:
        """Everything, in the order that `load` takes."""
        return [
            self.received_ms, self.sequence, self.event_id, self.flow, self.device,
            self.familiar, self.held, self.counted, self.in_surge,
        ]  # fmt: skip

    @classmethod
    def load(cls, dumped: list[Any]) -> "Member":
        """Take up what `dump` gave."""
        member = cls(*dumped[:5])
        member.familiar, member.held, member.counted, member.in_surge = dumped[5:]
        return member


class Limits(NamedTuple):
    """The three numbers of a `ClusterRule`, for one unit on one day."""

    most: int
    keep: int
    all_from: int


def limits_of(rule: ClusterRule, usual_day: float) -> Limits:
    """The rule's numbers, grown in proportion where the unit usually gets many ratings."""
    wanted = rule.usual * usual_day
    if wanted <= rule.most:
        return Limits(rule.most, rule.keep, rule.all_from)
    factor = wanted / rule.most
    return Limits(*(math.ceil(factor * number) for number in (rule.most, rule.keep, rule.all_from)))


class Cluster:
    """The members of one cluster: how many came lately, and those that count still, oldest first."""

    __slots__ = ("count", "last_ms", "open")

    def __init__(self, within_s: float) -> None:
        """Without members."""
        self.count = SlidingCount(within_s)
        self.open: list[Member] = []
        self.last_ms = 0

    def add(self, member: Member, now_ms: int, within_s: float, limits: Limits) -> list[Member]:
        """Take a member in; those that it explains from now on, perhaps earlier ones too, oldest first.

        Among these may be some that a surge holds. A member that is held stays in the count: the cluster is
        as large as it is.
        """
        self.last_ms = now_ms
        size = self.count.add(now_ms)
        oldest = now_ms - int(within_s * 1000)
        if not member.explained:
            self.open.append(member)
        if size <= limits.most:
            if len(self.open) > 2 * limits.most + _SLACK:
                self.open = [each for each in self.open if not each.explained and each.received_ms >= oldest]
            return []
        still = [each for each in self.open if not each.explained and each.received_ms >= oldest]
        kept = 0 if size >= limits.all_from else limits.keep
        self.open, excess = still[:kept], still[kept:]
        return excess
