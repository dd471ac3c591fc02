"""Bringing one alert to all endpoints of a channel, each in its own lane (ADR 0039)."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import structlog

from services.notify.application.delivering import DeliverAlert, Delivered
from services.notify.application.disabling import DisableEndpoint
from services.notify.application.errors import (
    EndpointDisabledError,
    EndpointDownError,
    EndpointUnknownError,
    ReceiverGoneError,
)
from services.notify.application.judging import OUTAGE_S
from services.notify.application.lanes import DeferredError, Lane, TokenBucket
from services.notify.application.ports import EndpointStates
from services.notify.domain.channels import Endpoint, attempt_due, kind_of
from services.notify.metrics import NotifyMetrics
from shared.events import AlertRaised, Envelope
from shared.kernel.errors import PermanentError, TransientError, describe
from shared.messaging.failure import INFRASTRUCTURE, GiveUp, decide

log = structlog.get_logger(__name__)
EARLY_S = 0.05
"""The broker's clock and ours may differ by so much without an alert going round once more."""


@dataclass(frozen=True, slots=True)
class Done:
    """Every endpoint has its end with the alert. `failure` is the first one that was given up, if any."""

    failure: Exception | None = None


@dataclass(frozen=True, slots=True)
class Later:
    """Hand the alert out again after `delay_s` seconds."""

    delay_s: float


@dataclass(slots=True)
class _Progress:
    """What this life knows of an alert at an endpoint that has not taken it yet."""

    due: float = 0.0
    tried: bool = False
    deferred: bool = False
    failure: Exception | None = None


class Deliveries:
    """One endpoint: its lane, its use case, and what is known of alerts that wait for it."""

    def __init__(
        self,
        endpoint: Endpoint,
        deliver: DeliverAlert,
        *,
        states: EndpointStates,
        disable: DisableEndpoint,
        lane: Lane | None = None,
        bucket: TokenBucket | None = None,
    ) -> None:
        """Deliver to `endpoint` in `lane`; if None, one is made from its limits, and `bucket` if there is."""
        self.endpoint = endpoint
        self.lane = lane or Lane(
            concurrency=endpoint.concurrency,
            per_minute=endpoint.per_minute,
            burst=endpoint.burst,
            bucket=bucket,
        )
        self._deliver = deliver
        self._states = states
        self._disable = disable
        self._progress: dict[int, _Progress] = {}

    @property
    def waiting(self) -> int:
        """Alerts that were tried or deferred and have no end yet."""
        return len(self._progress)

    def forget(self, sequence: int) -> None:
        """Drop what is known of an alert that has its end."""
        self._progress.pop(sequence, None)

    async def advance(
        self, event: Envelope[AlertRaised], sequence: int, *, delivered: int, age_s: float
    ) -> Done | Later:
        """Bring the alert one step further.

        Args:
            event: the alert.
            sequence: its place in the stream.
            delivered: how often the broker has handed it out.
            age_s: seconds since it was stored.
        """
        if self._deliver.is_settled(event.id):
            return Done()
        progress = self._progress.setdefault(sequence, _Progress())
        if progress.failure is not None:
            return Done(progress.failure)
        left = progress.due - self.lane.now()
        if left > EARLY_S:
            return Later(left)
        attempt = attempt_due(delivered, age_s, self.endpoint.retry_delays_s)
        try:
            await self._try(event, attempt, progress)
        except Exception as error:  # noqa: BLE001 - the boundary where every failure becomes a decision
            return await self._decide(event, attempt, progress, error)
        return Done()

    async def _try(self, event: Envelope[AlertRaised], attempt: int, progress: _Progress) -> None:
        disabled = self._states.disabled(self.endpoint)
        if disabled is not None:
            raise EndpointDisabledError(
                describe(
                    self.endpoint.address,
                    "an endpoint that is not disabled",
                    f"correct its address or enable it; since {disabled.at}: {disabled.reason}",
                )
            )
        done = self._deliver.unrecorded(event.id) or await self._turn(event, attempt, progress)
        if done is not None:
            # Not within the turn: a commit takes longer than most receivers, and the next alert can go.
            await self._deliver.record(event, done)

    async def _turn(
        self, event: Envelope[AlertRaised], attempt: int, progress: _Progress
    ) -> Delivered | None:
        async with self.lane.turn(fresh=not progress.deferred):
            first, progress.tried = not progress.tried, True
            started = perf_counter()
            try:
                done = await self._deliver.attempt(event, attempt, first=first)
            except INFRASTRUCTURE:
                self.lane.interrupted()  # the broker is away, the endpoint may be well
                raise
            except PermanentError:
                self.lane.succeeded(perf_counter() - started)  # it refused this alert, so it is alive
                raise
            except Exception as error:
                pause = error.retry_after_s if isinstance(error, TransientError) else None
                self.lane.failed(perf_counter() - started, pause)
                raise
            except BaseException:
                self.lane.interrupted()
                raise
            self.lane.succeeded(perf_counter() - started)
            return done

    async def _decide(
        self, event: Envelope[AlertRaised], attempt: int, progress: _Progress, error: Exception
    ) -> Done | Later:
        if isinstance(error, DeferredError):
            progress.deferred = True
            progress.due = self.lane.now() + error.delay_s
            if error.down and attempt > len(self.endpoint.retry_delays_s):
                return await self._give_up(event, attempt, progress, _down(self.endpoint))
            return Later(error.delay_s)
        if isinstance(error, EndpointDisabledError):
            return await self._give_up(event, attempt, progress, error)
        decision = decide(error, attempt, self.endpoint.retry_delays_s)
        if not isinstance(decision, GiveUp):
            outage = isinstance(error, INFRASTRUCTURE)  # it says nothing about the alert, nor the endpoint
            delay_s = min(decision.delay_s, OUTAGE_S) if outage else decision.delay_s
            progress.due = self.lane.now() + delay_s
            return Later(delay_s)
        progress.failure = error  # `DeliverAlert` has recorded it
        if isinstance(error, ReceiverGoneError):
            try:
                await self._disable(self.endpoint, event, str(error))
            except TransientError as failure:
                progress.failure = None
                log.warning("endpoint_not_disabled_yet", endpoint=self.endpoint.address, reason=str(failure))
                return Later(self.endpoint.retry_delays_s[0])
        return Done(error)

    async def _give_up(
        self, event: Envelope[AlertRaised], attempt: int, progress: _Progress, error: Exception
    ) -> Done | Later:
        try:
            await self._deliver.give_up(event, attempt, error)
        except TransientError:
            return Later(1.0)
        progress.failure = error
        return Done(error)


def _down(endpoint: Endpoint) -> EndpointDownError:
    return EndpointDownError(
        describe(
            endpoint.address,
            "an endpoint that answers",
            "see its failures in the log, then replay the dead letter",
        )
    )


class DispatchAlert:
    """Brings an alert to every endpoint of one channel that it is addressed to, side by side."""

    def __init__(self, kind: str, endpoints: Sequence[Deliveries], metrics: NotifyMetrics) -> None:
        """Know `endpoints`, all of the channel `kind`."""
        self._kind = kind
        self._endpoints: Mapping[str, Deliveries] = {each.endpoint.address: each for each in endpoints}
        self._metrics = metrics

    async def __call__(
        self, event: Envelope[AlertRaised], sequence: int, *, delivered: int, age_s: float
    ) -> Done | Later:
        """Bring the alert one step further at each endpoint; see `Deliveries.advance`.

        Endpoints that have the alert, or gave up, are not asked again when another one needs more time.
        """
        wanted = [address for address in event.data.channels if kind_of(address) == self._kind]
        known = [self._endpoints[address] for address in wanted if address in self._endpoints]
        steps = await asyncio.gather(
            *(each.advance(event, sequence, delivered=delivered, age_s=age_s) for each in known)
        )
        pauses = [step.delay_s for step in steps if isinstance(step, Later)]
        if pauses:
            return Later(min(pauses))
        for each in known:
            each.forget(sequence)
        failures = [step.failure for step in steps if isinstance(step, Done) and step.failure is not None]
        unknown = [address for address in wanted if address not in self._endpoints]
        if unknown and not failures:
            self._metrics.deliveries.labels(self._kind, "unknown").inc(len(unknown))
            return Done(
                EndpointUnknownError(
                    describe(
                        ", ".join(unknown),
                        "endpoints of the channels' file",
                        "replay the dead letter when they are there again",
                    )
                )
            )
        return Done(failures[0] if failures else None)
