"""Endpoints that want no more (HTTP 410), and those that do again: facts in the ALERTS stream."""

from collections.abc import Awaitable, Callable, Sequence

import structlog

from services.notify.application.ports import EndpointStates, Publisher
from services.notify.application.translation import SERVICE, off_of, raised_event
from services.notify.domain.alert import Background
from services.notify.domain.catalogue import CHANNEL_DISABLED
from services.notify.domain.channels import Endpoint
from services.notify.domain.watch_rules import channel_disabled
from shared.events import AlertRaised, Envelope, Provenance, spec_for_data
from shared.events.endpoints import EndpointDisabled, EndpointEnabled
from shared.kernel.clock import Clock
from shared.kernel.errors import NotFoundError
from shared.kernel.ids import derived_id
from shared.kernel.scrubbing import scrub

log = structlog.get_logger(__name__)
REASON_LENGTH = 500


class EndpointDirectory:
    """The endpoints that are set up, and whether each is in use."""

    def __init__(self, endpoints: Sequence[Endpoint], states: EndpointStates) -> None:
        """Know `endpoints`, in order."""
        self._endpoints = {each.address: each for each in endpoints}
        self._states = states

    def all(self) -> tuple[Endpoint, ...]:
        """Return every endpoint, in order."""
        return tuple(self._endpoints.values())

    def get(self, address: str) -> Endpoint:
        """Return one endpoint.

        Raises:
            NotFoundError: there is none of that address.
        """
        if address not in self._endpoints:
            raise NotFoundError(
                address, "the address of an endpoint", "take it from GET /v1/channels", field="address"
            )
        return self._endpoints[address]

    def usable(self) -> tuple[str, ...]:
        """Return the addresses that alerts may name, without those that are disabled."""
        return tuple(each.address for each in self.all() if self._states.disabled(each) is None)

    def in_use(self) -> tuple[str, ...]:
        """Return the addresses that get every alert, without those that are disabled."""
        return tuple(
            each.address for each in self.all() if each.all_alerts and self._states.disabled(each) is None
        )


class DisableEndpoint:
    """Stops using an endpoint, durably, and tells everybody else."""

    def __init__(self, *, publisher: Publisher, clock: Clock, in_use: Callable[[], tuple[str, ...]]) -> None:
        """Alert the addresses that `in_use` gives."""
        self._publisher = publisher
        self._clock = clock
        self._in_use = in_use

    async def __call__(self, endpoint: Endpoint, cause: Envelope[AlertRaised], reason: str) -> None:
        """Record it and raise the alert `channel_disabled`; repeats give the same two events.

        Raises:
            TransientError: not known to be stored; do it again.
        """
        now = self._clock.now()
        fact = spec_for_data(EndpointDisabled).wrap(
            EndpointDisabled(
                endpoint=endpoint.address,
                mark=endpoint.mark,
                alert_id=cause.id,
                reason=reason[:REASON_LENGTH],
            ),
            event_id=derived_id("endpoint-disabled", endpoint.address, endpoint.mark, cause.id),
            source=SERVICE,
            subject=endpoint.address,
            time=now,
            received_at=now,
            provenance=Provenance.caused_by(cause),
        )
        others = tuple(address for address in self._in_use() if address != endpoint.address)
        await self._publisher.publish(fact)
        await self._publisher.publish(
            raised_event(
                channel_disabled(off_of(fact)),
                others,
                now,
                rules=cause.rules or "",
                provenance=Provenance.caused_by(fact),
                background=Background(condition=CHANNEL_DISABLED),
            )
        )
        log.error("endpoint_disabled", endpoint=endpoint.address, alert_id=cause.id)


class EnableEndpoint:
    """Lets a person use an endpoint again without changing its address."""

    def __init__(
        self,
        directory: EndpointDirectory,
        states: EndpointStates,
        *,
        publisher: Publisher,
        clock: Clock,
        reach: Callable[[int], Awaitable[None]],
    ) -> None:
        """Wait for the fold with `reach`, an awaitable function of a sequence."""
        self._directory = directory
        self._states = states
        self._publisher = publisher
        self._clock = clock
        self._reach = reach

    async def __call__(self, address: str, *, by: str, provenance: Provenance) -> Endpoint:
        """Enable it in the name of `by`; one that is in use stays so, and nothing is recorded.

        Raises:
            NotFoundError: no such endpoint.
            TransientError: not known to be recorded; ask again.
        """
        endpoint = self._directory.get(address)
        disabled = self._states.disabled(endpoint)
        if disabled is None:
            return endpoint
        now = self._clock.now()
        fact = spec_for_data(EndpointEnabled).wrap(
            EndpointEnabled(endpoint=address, mark=endpoint.mark, by=scrub(by, mistyped=True)),
            event_id=derived_id("endpoint-enabled", address, endpoint.mark, disabled.alert_id, disabled.at),
            source=SERVICE,
            subject=address,
            time=now,
            received_at=now,
            provenance=provenance,
        )
        sequence = await self._publisher.publish(fact)
        await self._reach(sequence)
        return endpoint
