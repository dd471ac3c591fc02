"""An event publisher without a broker; it passes the suite of :mod:`shared.testing.publisher_suite`."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, TypeVar

from shared.events import Envelope, EventData, spec_for_type
from shared.messaging.publisher import BrokerUnavailableError

D = TypeVar("D", bound=EventData)


@dataclass(frozen=True, slots=True)
class Published:
    """One event that the fake stored: its subject, its sequence in its stream, its envelope."""

    stream: str
    sequence: int
    subject: str
    envelope: Envelope[Any]


class InMemoryPublisher:
    """Role ``EventPublisher``: stores each event id once per stream and counts sequences from 1."""

    def __init__(self) -> None:
        """Start empty and available."""
        self.published: list[Published] = []
        """What was stored, in order, without repeats."""
        self.attempts = 0
        """Calls of :meth:`publish`, repeats and failures included."""
        self._sequences: defaultdict[str, int] = defaultdict(int)
        self._known: dict[tuple[str, str], int] = {}
        self._failures = 0
        self._lost_answers = 0

    def fail(self, times: int = 1) -> None:
        """Make the next ``times`` calls fail without storing anything."""
        self._failures = times

    def lose_answers(self, times: int = 1) -> None:
        """Make the next ``times`` calls store the event and fail all the same: a lost acknowledgement."""
        self._lost_answers = times

    async def publish(self, envelope: Envelope[Any], *, city: str = "all", county: str = "all") -> int:
        """See :meth:`shared.messaging.publisher.EventPublisher.publish`."""
        self.attempts += 1
        spec = spec_for_type(envelope.type)
        if self._failures:
            self._failures -= 1
            raise BrokerUnavailableError("the fake broker was told to fail; publish the same envelope again")
        sequence = self._store(spec.stream, spec.subject_for(city, county), envelope)
        if self._lost_answers:
            self._lost_answers -= 1
            raise BrokerUnavailableError("the fake broker was told to lose its answer; publish it again")
        return sequence

    def _store(self, stream: str, subject: str, envelope: Envelope[Any]) -> int:
        key = (stream, envelope.id)
        if key not in self._known:
            self._sequences[stream] += 1
            self._known[key] = self._sequences[stream]
            self.published.append(Published(stream, self._known[key], subject, envelope))
        return self._known[key]

    def of(self, data: type[D]) -> list[D]:
        """The data of the stored events of one kind, in order."""
        return [event.envelope.data for event in self.published if isinstance(event.envelope.data, data)]
