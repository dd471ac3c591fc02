"""Is the process alive, and can it do its work: the answers behind ``/livez`` and ``/readyz``."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, Literal

from shared.kernel.errors import InvalidValueError, shorten

Check = Callable[[], Awaitable[str | None]]
"""Succeeds by returning (a detail or None), fails by raising."""

Status = Literal["ok", "degraded", "failed"]

DEFAULT_TIMEOUT_S: Final = 2.0
DEFAULT_CACHE_S: Final = 1.0
FAILURE_CACHE_S: Final = 0.1
"""A failure is reused no longer: somebody is waiting for the moment when the dependency is there."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Outcome of one check; `latency_ms` of the run that produced it, `status` degraded if not required."""

    name: str
    status: Status
    required: bool
    detail: str | None
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Readiness:
    """All checks: `status` is the worst that matters, `failed` iff a required one fails."""

    status: Status
    checks: tuple[CheckResult, ...]
    reason: str | None = None

    @property
    def ready(self) -> bool:
        """Whether to send requests here."""
        return self.status != "failed"

    def as_json(self) -> dict[str, object]:
        """Return the body of ``/readyz``."""
        body: dict[str, object] = {
            "status": self.status,
            "checks": {
                check.name: {
                    "status": check.status,
                    "required": check.required,
                    "detail": check.detail,
                    "latency_ms": check.latency_ms,
                }
                for check in self.checks
            },
        }
        if self.reason is not None:
            body["reason"] = self.reason
        return body


@dataclass(slots=True)
class _Entry:
    name: str
    check: Check
    required: bool
    timeout_s: float
    cache_s: float
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    result: CheckResult | None = None
    checked_at: float = 0.0

    @property
    def reused_s(self) -> float:
        good = self.result is not None and self.result.status == "ok"
        return self.cache_s if good else min(self.cache_s, FAILURE_CACHE_S)


RENEWED: Final = 5
"""Exit code after `Health.renew`: no failure, and to be started again at once."""


class Health:
    """The registry of a process's checks and its two flags: fatally broken, draining."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        """`clock` gives monotonic seconds."""
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._fatal: str | None = None
        self.renewing = False
        """Whether the process ends although nothing is wrong, to be started anew."""
        self._draining: str | None = None
        self._on_draining: list[Callable[[], None]] = []

    @property
    def fatal_reason(self) -> str | None:
        """Why only a restart can help; None while the process is sound."""
        return self._fatal

    def fatal(self, reason: str) -> None:
        """Declare that only a restart can help; the first reason stays."""
        self._fatal = self._fatal or reason

    def renew(self, reason: str) -> None:
        """Declare that the process has to be started anew, since what it rests on is no longer in force."""
        if self._fatal is None:
            self._fatal, self.renewing = reason, True

    def draining(self, reason: str = "shutting down") -> None:
        """Stop being ready; what is under way is finished, and what has no end of its own is told to end."""
        first, self._draining = self._draining is None, reason
        if first:
            for end in self._on_draining:
                end()

    def on_draining(self, end: Callable[[], None]) -> None:
        """Call ``end`` once when draining begins: a stop would wait in vain for answers without an end."""
        self._on_draining.append(end)

    def register(
        self,
        name: str,
        check: Check,
        *,
        required: bool = True,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        cache_s: float = DEFAULT_CACHE_S,
    ) -> None:
        """Add the check of a dependency.

        Args:
            name: what ``/readyz`` calls it, e.g. ``nats``.
            check: see `Check`.
            required: whether its failure makes the process unready, or merely degraded.
            timeout_s: a slower check has failed.
            cache_s: how long a good result is reused; probes of many watchers must not become load. A failure
                is reused for `FAILURE_CACHE_S` at most.

        Raises:
            InvalidValueError: the name is taken.
        """
        if name in self._entries:
            raise InvalidValueError(
                name, "a name not registered yet", "register each dependency once", field="name"
            )
        self._entries[name] = _Entry(name, check, required, timeout_s, cache_s)

    async def readiness(self) -> Readiness:
        """Run the checks side by side, or reuse their cached results; never raises for a failing check."""
        checks = tuple(await asyncio.gather(*(self._result(entry) for entry in self._entries.values())))
        reason = self._fatal or self._draining
        status: Status = "ok"
        if any(check.status == "degraded" for check in checks):
            status = "degraded"
        if reason is not None or any(check.status == "failed" for check in checks):
            status = "failed"
        return Readiness(status, checks, reason)

    async def _result(self, entry: _Entry) -> CheckResult:
        async with entry.lock:  # simultaneous probes share one run
            if entry.result is None or self._clock() - entry.checked_at >= entry.reused_s:
                entry.result = await self._run(entry)
                entry.checked_at = self._clock()
            return entry.result

    async def _run(self, entry: _Entry) -> CheckResult:
        started = self._clock()
        status: Status = "ok"
        try:
            async with asyncio.timeout(entry.timeout_s):
                detail = await entry.check()
        except TimeoutError:
            status, detail = "failed", f"no answer within {entry.timeout_s:g} s"
        except Exception as error:  # noqa: BLE001 - whatever a dependency's driver raises means: not available
            status, detail = "failed", f"{type(error).__name__}: {shorten(str(error))}"
        if status == "failed" and not entry.required:
            status = "degraded"
        return CheckResult(
            entry.name, status, entry.required, detail, round((self._clock() - started) * 1000, 1)
        )
