"""When a child that died is started again, and when that is given up: pure decisions on times."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Exponential backoff with a cap and jitter, and a bound on failures; all times in seconds.

    With the defaults a child that dies at once is given up after 45 s or so.
    """

    first_delay_s: float = 0.5
    max_delay_s: float = 15.0
    jitter: float = 0.2
    """The delay is multiplied by a random factor from 1 − jitter to 1 + jitter, so that children that died of
    the same cause don't come back in step."""
    stable_s: float = 30.0
    """A run of at least this length clears the record."""
    max_failures: int = 8
    window_s: float = 600.0


@dataclass(slots=True)
class RestartHistory:
    """The failures of one child that still count, and the decision after each."""

    policy: RestartPolicy
    uniform: Callable[[], float]
    """Random numbers from 0 to 1."""
    failed_at: list[float] = field(default_factory=list)

    def next_delay_s(self, *, started_s: float, ended_s: float, wanted: bool = False) -> float | None:
        """How long to wait before the next start after a run from ``started_s`` to ``ended_s``.

        A child that ended because it ``wanted`` to be started anew has not failed.

        Returns:
            Seconds to wait, or None: given up, since this was failure ``max_failures`` within ``window_s``.
        """
        policy = self.policy
        if wanted:
            return policy.first_delay_s
        if ended_s - started_s >= policy.stable_s:
            self.failed_at.clear()
        self.failed_at = [at for at in self.failed_at if ended_s - at < policy.window_s]
        self.failed_at.append(ended_s)
        if len(self.failed_at) >= policy.max_failures:
            return None
        delay_s = min(policy.max_delay_s, policy.first_delay_s * 2.0 ** (len(self.failed_at) - 1))
        return delay_s * (1 - policy.jitter + 2 * policy.jitter * self.uniform())
