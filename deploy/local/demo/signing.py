"""How long what was accepted waits for its signed checkpoint, by the archive's own count."""

import time
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from deploy.local import api
from deploy.local.layout import Layout

GOAL_S: Final = 15.0
"""Accepted → under a signed checkpoint, p99."""
PATIENCE_S: Final = 20.0
POLL_S: Final = 0.5
OWN_LEAVES: Final = 2
"""Leaves of the last checkpoint itself: they alone make no other one due."""

_DELAY: Final = "pingyi_archive_checkpoint_delay_seconds"
_SIGNED: Final = "pingyi_archive_checkpoint_entries"


@dataclass(frozen=True, slots=True)
class Delays:
    """Checkpoints by how long the oldest entry of each had waited since its receipt.

    Attributes:
        within: by upper bound in seconds, how many waited at most so long; the last bound is infinite.
    """

    within: dict[float, int]

    @property
    def checkpoints(self) -> int:
        """How many were signed."""
        return self.within.get(inf, 0)

    @property
    def longest_s(self) -> float | None:
        """No entry waited longer than this, so that each percentile is below it; None of no checkpoint."""
        if not self.checkpoints:
            return None
        return min(bound for bound, count in self.within.items() if count == self.checkpoints)

    def share_within(self, bound_s: float) -> float:
        """Share (0 to 1) of the checkpoints whose entries waited at most ``bound_s``, a bucket's bound."""
        return self.within[bound_s] / self.checkpoints if self.checkpoints else 1.0

    def since(self, before: "Delays") -> "Delays":
        """Only what came after ``before`` was read from the same process."""
        return Delays({bound: count - before.within.get(bound, 0) for bound, count in self.within.items()})

    def as_json(self) -> dict[str, Any]:
        """For machines; a bound that is infinite is null."""
        longest = self.longest_s
        return {"checkpoints": self.checkpoints, "longest_s": None if longest == inf else longest}


def read_delays(layout: Layout) -> Delays:
    """What the archive counted since it started.

    Raises:
        LocalError: it does not answer.
    """
    return parse(_metrics(layout))[0]


def delays_since(layout: Layout, before: Delays) -> Delays:
    """Wait until what the archive has now is signed, and tell how long everything since ``before`` took.

    What is not signed after twenty seconds counts as not yet there: the archive's health tells why.

    Raises:
        LocalError: the archive does not answer.
    """
    size = int(api.call("GET", f"{layout.service_url('archive')}/v1/head")["entries"])
    deadline = time.monotonic() + PATIENCE_S
    delays, signed = parse(_metrics(layout))
    while signed < size - OWN_LEAVES and time.monotonic() < deadline:
        time.sleep(POLL_S)
        delays, signed = parse(_metrics(layout))
    return delays.since(before)


def parse(metrics: str) -> tuple[Delays, int]:
    """The delays, and the entries under the last checkpoint, in what Prometheus reads."""
    within: dict[float, int] = {}
    signed = 0
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == f"{_DELAY}_bucket":
                within[float(sample.labels["le"])] = int(sample.value)
            elif sample.name == _SIGNED:
                signed = int(sample.value)
    return Delays(within), signed


def _metrics(layout: Layout) -> str:
    with api.client() as http:
        return api.send(http, "GET", f"{layout.service_url('archive')}/metrics").text
