"""Making ratings durable, each once: the vault first, then the stream, then the index."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from services.intake.application.envelopes import conflicted_message, submitted_message
from services.intake.application.errors import IndexNotReadyError
from services.intake.application.ports import (
    AcceptedIndex,
    FeedbackLog,
    SealedRecord,
    Sealer,
    Sketcher,
    Tally,
    Vault,
)
from services.intake.application.prepared import Prepared
from services.intake.application.slices import Slices
from services.intake.domain.accepted import Accepted, Outcome, Verdict, judge_repeat
from services.intake.domain.pseudonyms import Pseudonyms
from shared.kernel.errors import NotFoundError, TransientError
from shared.kernel.scrubbing import scrub
from shared.kernel.units import UnitRegistry
from shared.messaging.group_commit import Outgoing
from shared.messaging.publisher import BrokerUnavailableError

_InFlight = asyncio.Future[Accepted]


class Acceptor:
    """Decides for each prepared rating whether it is new, a repeat or a conflict, and stores the new ones.

    Three lines against storing a rating twice: requests under way in this process share one publish; the
    index knows everything that is in the stream; the broker recognises the id within its window, which
    settles a race with another replica. Whoever is first in the stream wins.
    """

    def __init__(  # noqa: PLR0913 - one for each role, keyword-only
        self,
        *,
        log: FeedbackLog,
        vault: Vault,
        sealer: Sealer,
        index: AcceptedIndex,
        pseudonyms: Pseudonyms,
        units: UnitRegistry,
        tally: Tally,
        sketcher: Sketcher | None = None,
    ) -> None:
        """Use these adapters."""
        self._log = log
        self._vault = vault
        self._sealer = sealer
        self._index = index
        self._pseudonyms = pseudonyms
        self._units = units
        self._tally = tally
        self._sketcher = sketcher
        self._in_flight: dict[str, _InFlight] = {}
        self.slices = Slices()
        """In which batches are worked on."""

    async def accept(self, ratings: Sequence[Prepared]) -> list[Outcome]:
        """Answer each of `ratings`; when this returns, what counts as accepted is durable.

        Raises:
            TransientError: not known to be accepted; the same ratings may be sent again.
        """
        outcomes: list[Outcome | None] = [None] * len(ratings)
        known = self._known(ratings)
        claimed: list[int] = []
        joined: list[tuple[int, _InFlight]] = []
        new_answer: Callable[[], _InFlight] = asyncio.get_running_loop().create_future
        for place, rating in enumerate(ratings):
            if not rating.keyed:
                claimed.append(place)
            elif known and (repeat := self._repeat(rating, known)) is not None:
                outcomes[place] = repeat
            elif (future := self._under_way(rating)) is not None:
                joined.append((place, future))
            else:
                answer = new_answer()
                self._in_flight[rating.event_id] = answer
                for other in rating.others:
                    self._in_flight[other] = answer
                claimed.append(place)
        if claimed and len(claimed) == len(ratings):  # nearly always
            fresh = await self._claim(ratings)
            await self._report(ratings, fresh)
            return fresh
        if claimed:
            fresh = await self._claim([ratings[place] for place in claimed])
            for place, outcome in zip(claimed, fresh, strict=True):
                outcomes[place] = outcome
        for place, future in joined:
            # Shielded: one caller that gives up must not fail the others who wait for the same publish.
            outcomes[place] = self._judge(ratings[place], await asyncio.shield(future))
        complete = [outcome for outcome in outcomes if outcome is not None]
        await self._report(ratings, complete)
        return complete

    def knows(self, rating: Prepared) -> bool:
        """Whether the same rating was accepted before, as far as the index has come.

        Raises:
            TransientError: the index is being made anew.
        """
        found = self._index.find((rating.receipt, *rating.former)) if rating.keyed else {}
        repeat = self._repeat(rating, found)
        return repeat is not None and repeat.verdict is Verdict.DUPLICATE

    def _repeat(self, rating: Prepared, known: Mapping[bytes, Accepted]) -> Outcome | None:
        """What a rating is that came before under one of its names: another's name is a conflict."""
        judged = [self._judge(rating, each) for each in _earlier(rating, known)]
        return (
            next((each for each in judged if each.verdict is Verdict.CONFLICT), judged[0]) if judged else None
        )

    def _under_way(self, rating: Prepared) -> _InFlight | None:
        """The answer that a rating with one of these names is waiting for."""
        answer = self._in_flight.get(rating.event_id)
        for other in rating.others:
            answer = answer or self._in_flight.get(other)
        return answer

    def _no_longer_under_way(self, rating: Prepared) -> _InFlight | None:
        if not rating.keyed:
            return None
        for other in rating.others:
            self._in_flight.pop(other, None)
        return self._in_flight.pop(rating.event_id, None)

    def _known(self, ratings: Sequence[Prepared]) -> dict[bytes, Accepted]:
        keyed = [rating.receipt for rating in ratings if rating.keyed]
        if not keyed:
            return {}
        # Under its other names, and after a rotation of the key of ids; mostly none.
        former = [receipt for rating in ratings for receipt in rating.former]
        found = dict(self._index.find(keyed + former))
        if not self._index.ready and any(rating.keyed and not _earlier(rating, found) for rating in ratings):
            raise IndexNotReadyError
        return found

    def _judge(self, rating: Prepared, earlier: Accepted) -> Outcome:
        """Compare under the key that made the earlier digest; where that is gone, the first one stands."""
        if earlier.receipt != rating.receipt:  # found under another name
            earlier = earlier._replace(receipt=self._pseudonyms.receipt(earlier.event_id))
        digest = self._pseudonyms.digest_like(earlier.digest, rating.submission)
        return judge_repeat(earlier.digest if digest is None else digest, earlier)

    async def _claim(self, ratings: Sequence[Prepared]) -> list[Outcome]:
        """Store ratings that this call answers for, and let everybody who joined know."""
        try:
            outcomes = await self._store(ratings)
        except BaseException as error:
            shared = error if isinstance(error, TransientError) else _unknown_outcome(error)
            for rating in ratings:
                future = self._no_longer_under_way(rating)
                if future is not None:
                    future.set_exception(shared)
                    future.exception()  # marks it as seen: often nobody has joined
            raise
        for rating, outcome in zip(ratings, outcomes, strict=True):
            future = self._no_longer_under_way(rating)
            if future is not None:
                future.set_result(outcome.accepted)
        return outcomes

    async def _store(self, ratings: Sequence[Prepared]) -> list[Outcome]:
        messages: list[Outgoing] = []
        sealed: list[SealedRecord | None] = []
        if len(ratings) == 1:
            self._seal(ratings[0], messages, sealed)
        else:
            async with self.slices.work() as work:
                for rating in ratings:
                    if work.over:
                        await work.others()
                    self._seal(rating, messages, sealed)
        records = [record for record in sealed if record is not None]
        if records:
            # First, so that an accepted text can always be opened; a record without its event is only waste.
            await self._vault.store(records)
        answers = await self._log.append(messages)
        outcomes: list[Outcome] = []
        for rating, record, answer in zip(ratings, sealed, answers, strict=True):
            if answer.duplicate:
                standing = await self._log.read(answer.sequence)
                outcomes.append(self._judge(rating, standing.accepted))
                # What stands may be this very publish: group commit repeats one whose answer was unclear.
                if record is not None and record.record_id != standing.record_id:
                    await self._vault.erase(record.record_id)
            else:
                outcomes.append(Outcome(Verdict.ACCEPTED, _accepted(rating, answer.sequence)))
        self._index.add(outcome.accepted for outcome in outcomes)
        return outcomes

    def _seal(self, rating: Prepared, messages: list[Outgoing], sealed: list[SealedRecord | None]) -> None:
        """Add the message of a rating, and the record of what only some may read in it."""
        text = None if rating.submission.text is None else scrub(rating.submission.text)
        record = None
        if text is not None or rating.submission.contact is not None:
            record = self._sealer.seal(rating.event_id, text, rating.submission.contact)
        sealed.append(record)
        messages.append(
            submitted_message(rating, text, record, self._pseudonyms, self._signature(rating, text))
        )

    def _signature(self, rating: Prepared, text: str | None) -> tuple[int, ...] | None:
        if text is None or self._sketcher is None:
            return None
        return self._sketcher.signature(text, rating.facts.rules.screening.text_min_chars)

    async def _report(self, ratings: Sequence[Prepared], outcomes: list[Outcome]) -> None:
        """Count every answer; publish the conflicts."""
        if len(ratings) == 1 and outcomes[0].verdict is Verdict.ACCEPTED:  # most requests of the hot path
            self._tally.accepted(ratings[0].submission.channel.value, 1)
            return
        conflicts: list[Outgoing] = []
        accepted: Counter[str] = Counter()
        for rating, outcome in zip(ratings, outcomes, strict=True):
            channel = rating.submission.channel.value
            if outcome.verdict is Verdict.ACCEPTED:
                accepted[channel] += 1
            elif outcome.verdict is Verdict.DUPLICATE:
                self._tally.duplicate(channel)
            else:
                self._tally.conflict(channel)
                conflicts.append(self._conflict(rating, outcome.accepted))
        for channel, count in accepted.items():
            self._tally.accepted(channel, count)
        if conflicts:
            unique = {message.message_id: message for message in conflicts}
            stored = await self._log.append(list(unique.values()))
            self._index.skip(answer.sequence for answer in stored)

    def _conflict(self, rating: Prepared, standing: Accepted) -> Outgoing:
        try:
            unit = self._units.get(standing.unit_id)
        except NotFoundError:
            unit = None
        return conflicted_message(rating, standing, unit)


def _earlier(rating: Prepared, known: Mapping[bytes, Accepted]) -> list[Accepted]:
    """The ratings that came before under a name of this one, its own first, under whichever key of ours."""
    if not known:
        return []
    return [known[receipt] for receipt in (rating.receipt, *rating.former) if receipt in known]


def _accepted(rating: Prepared, sequence: int) -> Accepted:
    return Accepted(
        event_id=rating.event_id,
        receipt=rating.receipt,
        digest=rating.digest,
        sequence=sequence,
        received_at=rating.facts.received_at,
        occurred_at=rating.occurred_at,
        unit_id=rating.unit.unit_id,
        grade=rating.submission.grade,
        others=rating.other_receipts,
    )


def _unknown_outcome(error: BaseException) -> TransientError:
    return BrokerUnavailableError(
        f"Storing the rating was interrupted ({type(error).__name__}): send it again."
    )
