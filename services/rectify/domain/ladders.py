"""What the ladders ask for: the comparison of what should stand with what does, for one unit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from services.rectify.domain.closed_lists import End, RulesOfADay, RulesOn
from services.rectify.domain.ladder_book import (
    Candidate,
    Due,
    FindUnit,
    Kept,
    LadderBook,
    Whereabouts,
)
from services.rectify.domain.nominations import (
    NominationStatus,
    level_above,
    nominate_again,
    nominated,
    withdraw_nomination,
)
from services.rectify.domain.sanctions import (
    STANDING,
    Sanction,
    SanctionStatus,
    Why,
    propose_again,
    withdraw,
)
from services.rectify.domain.strikes import Ladder, Strike, StrikeEnd
from shared.kernel.clock import business_day
from shared.kernel.grades import Level
from shared.kernel.ids import derived_id


def months_before(day: date, months: int) -> date:
    """The same day so many months earlier, or the last of that month if it has none."""
    number = day.year * 12 + day.month - 1 - months
    year, month = divmod(number, 12)
    for last in range(day.day, 0, -1):
        try:
            return date(year, month + 1, last)
        except ValueError:
            continue
    raise ValueError(day)  # pragma: no cover - every month has a first day


def counting_with(strike: Strike, before: Sequence[Strike], months: int, most: int) -> list[Strike]:
    """What makes `strike` the first, second, third …: those counted before it and not too far apart, and it.

    Args:
        strike: of a unit on a ladder.
        before: the unit's standing strikes on it that were counted before, the first counted first.
        months: how long a strike counts.
        most: so many are enough, the last ones.
    """
    day, found = business_day(strike.occurred_at), [strike]
    for each in reversed(before):
        if len(found) >= most:
            break
        other = business_day(each.occurred_at)
        if months_before(max(day, other), months) < min(day, other):
            found.append(each)
    return found[::-1]


@dataclass(frozen=True, slots=True)
class Ladderer:
    """Says what is due; `units` tell where each of them is."""

    book: LadderBook
    units: FindUnit
    rules_on: RulesOn

    def due(self, unit_id: str, now: datetime) -> tuple[Due[Any], ...]:
        """What is to be published about a unit, strikes first: what rests on them is due once they stand."""
        where = self.units(unit_id)
        signing = None if where is None else level_above(where.level)
        if where is None or signing is None:
            return ()  # nobody is above it who could sign
        strikes = {each.state.strike_id: each for each in self._strikes(unit_id, where)}
        if strikes:
            return tuple(strikes.values())
        return (
            *self._ladder_sanctions(unit_id, where, signing, now),
            *self._vetoes(unit_id, where, signing, now),
            *self._ends_of_lists(unit_id, where, signing, now),
        )

    # --- strikes ----------------------------------------------------------------------------------

    def _strikes(self, unit_id: str, where: Whereabouts) -> Iterator[Due[Strike]]:
        for ground in self.book.grounds.of_unit(unit_id):
            known = self.book.strike(ground.strike_id)
            rules = self._rules(ground.occurred_at).hash
            if ground.ended is None and (
                known is None or (known.ended is not None and not known.ended.by_a_person)
            ):
                strike = Strike(
                    ground.strike_id, ground.ladder, ground.case_id, unit_id,
                    where.city if known is None else known.city,
                    where.county if known is None else known.county,
                    1 if known is None else known.number + 1,
                    ground.basis, ground.occurred_at, ground.rests_on, ground.correlation_id,
                )  # fmt: skip
                yield Due(
                    "strike-counted", strike, ground.rests_on[-1], ground.correlation_id, rules,
                    0 if known is None else known.sequence,
                )  # fmt: skip
            elif ground.ended is not None and known is not None and known.ended is None:
                yield self._end(known, ground.ended, ground.ended_by or known.counted_id)
        for sanction, kept in self.book.sanctions(unit_id):
            end = _DECIDED_AGAINST.get(sanction.status)
            if end is None or not sanction.strikes:
                continue
            led_to_it = self.book.strike(sanction.strikes[-1])
            if led_to_it is None or led_to_it.ended is not None:
                continue
            if led_to_it.counted_id in sanction.rests_on:  # it may have been counted anew since
                yield self._end(led_to_it, end, kept.event_id)

    def _end(self, strike: Strike, end: StrikeEnd, by_event: str) -> Due[Strike]:
        return Due(
            "strike-withdrawn", replace(strike, ended=end), by_event, strike.correlation_id,
            self._rules(strike.occurred_at).hash, strike.sequence, because=end.value, rests_on=(by_event,),
        )  # fmt: skip

    # --- sanctions on ladders ---------------------------------------------------------------------

    def _ladder_sanctions(
        self, unit_id: str, where: Whereabouts, signing: Level, now: datetime
    ) -> Iterator[Due[Any]]:
        wanted: dict[str, tuple[Sanction, Strike]] = {}
        for ladder in Ladder:
            standing = [strike for strike in self.book.strikes(unit_id, ladder) if strike.ended is None]
            for place, strike in enumerate(standing):
                sanction = self.wanted(strike, standing[:place], where, signing, now)
                wanted[sanction.sanction_id] = (sanction, strike)
        for sanction, kept in tuple(self.book.sanctions(unit_id)):
            on_ladder = sanction.ground in {Why.U, Why.C}
            if on_ladder and sanction.status in STANDING and sanction.sanction_id not in wanted:
                gone = [self.book.strike(each) for each in sanction.strikes]
                cause = max(
                    (strike for strike in gone if strike is not None and strike.ended is not None),
                    key=lambda strike: strike.sequence,
                    default=None,
                )
                rules = self._rules(sanction.proposed_at).hash
                yield _withdrawal(sanction, kept, "strike_fell_away", rules, _event_of(cause))
        for sanction, strike in wanted.values():
            due = self._proposal(
                sanction, strike.counted_id, strike.correlation_id, self._rules(strike.occurred_at).hash
            )
            if due is not None:
                yield due

    def wanted(
        self, strike: Strike, before: Sequence[Strike], where: Whereabouts, signing: Level, now: datetime
    ) -> Sanction:
        """The proposal that `strike` leads to, by the rules of the day on which it happened."""
        rules = self._rules(strike.occurred_at).ladders
        steps = rules.steps(strike.ladder.value)
        proof = counting_with(strike, before, rules.months, len(steps))
        step = len(proof)
        rests_on = tuple(each.counted_id for each in proof)
        return Sanction(
            sanction_id=derived_id("sanction", strike.ladder.value, str(step), *rests_on),
            unit_id=strike.unit_id,
            city=where.city,
            county=where.county,
            ground=Why(strike.ladder.value),
            step=step,
            measure=steps[step - 1],
            rests_on=rests_on,
            signing_level=signing,
            proposed_at=now,
            strikes=tuple(each.strike_id for each in proof),
        )

    def _proposal(self, wanted: Sanction, cause: str, correlation_id: str, rules: str) -> Due[Any] | None:
        known = self.book.sanction(wanted.sanction_id)
        if known is None:
            return Due("proposed", wanted, cause, correlation_id, rules, 0)
        earlier, kept = known
        if earlier.status is not SanctionStatus.WITHDRAWN:
            return None
        return Due("proposed", propose_again(earlier, wanted), cause, correlation_id, rules, kept.sequence)

    # --- vetoes -----------------------------------------------------------------------------------

    def _vetoes(self, unit_id: str, where: Whereabouts, signing: Level, now: datetime) -> Iterator[Due[Any]]:
        wanted: set[str] = set()
        for finding in self.book.findings.of_unit(unit_id):
            rules = self._rules(finding.occurred_at)
            veto = finding.veto(rules.ladders)
            if veto is None:
                continue
            sanction = Sanction(
                sanction_id=derived_id("sanction", "veto", *finding.rests_on),
                unit_id=unit_id,
                city=where.city,
                county=where.county,
                ground=Why.VETO,
                step=1,
                measure=rules.ladders.veto_measure,
                rests_on=finding.rests_on,
                signing_level=signing,
                proposed_at=now,
                veto=veto,
                year=business_day(finding.occurred_at).year,
            )
            wanted.add(sanction.sanction_id)
            due = self._proposal(sanction, finding.rests_on[-1], finding.correlation_id, rules.hash)
            if due is not None:
                yield due
        for sanction, kept in tuple(self.book.sanctions(unit_id)):
            if not sanction.is_veto or sanction.status not in STANDING or sanction.sanction_id in wanted:
                continue
            known = self.book.findings.get(sanction.rests_on[0])
            if known is not None:
                rules = self._rules(known.occurred_at)
                yield _withdrawal(sanction, kept, "finding_fell_away", rules.hash, known.finding_id)

    # --- closed lists -----------------------------------------------------------------------------

    def _ends_of_lists(
        self, unit_id: str, where: Whereabouts, signing: Level, now: datetime
    ) -> Iterator[Due[Any]]:
        for place in self.book.lists.of_unit(unit_id):
            rules = self.rules_on(place.last)
            cause, correlation_id = place.rests_on[-1], place.correlation_id
            if place.end is End.TOP:
                known = self.book.nomination(place.nomination_id)
                if known is None and self.book.veto(unit_id, place.year) is None:
                    nomination = nominated(place, where.level, where.city, where.county)
                    yield Due("unit-nominated", nomination, cause, correlation_id, rules.hash, 0)
                continue
            if not self.book.is_candidate(place.candidate_id):
                candidate = Candidate(place.candidate_id, unit_id, where.city, where.county, place)
                yield Due("talk-candidate-named", candidate, cause, correlation_id, rules.hash, 0)
            if place.proposable:
                sanction = Sanction(
                    sanction_id=derived_id("sanction", "score", place.candidate_id),
                    unit_id=unit_id,
                    city=where.city,
                    county=where.county,
                    ground=Why.SCORE,
                    step=1,
                    measure=rules.ladders.score_measure,
                    rests_on=place.rests_on,
                    signing_level=signing,
                    proposed_at=now,
                    list=place.list,
                )
                due = self._proposal(sanction, cause, correlation_id, rules.hash)
                if due is not None:
                    yield due
        yield from self._masked(unit_id, where)

    def _masked(self, unit_id: str, where: Whereabouts) -> Iterator[Due[Any]]:
        """Nominations that a veto takes away, and those that it gives back."""
        for nomination, kept in tuple(self.book.nominations(unit_id)):
            veto = self.book.veto(unit_id, nomination.year)
            rules = self.rules_on(date(nomination.year, 12, 31)).hash
            withdrawn = nomination.status is NominationStatus.WITHDRAWN
            if veto is not None and not withdrawn:
                found = self.book.sanction(veto.sanction_id)
                cause = kept.event_id if found is None else found[1].event_id
                yield Due(
                    "nomination-withdrawn", withdraw_nomination(nomination), cause, kept.correlation_id,
                    rules, kept.sequence, because=veto.sanction_id,
                )  # fmt: skip
            elif veto is None and withdrawn:
                again = nominate_again(nomination, where.level)
                yield Due("unit-nominated", again, kept.event_id, kept.correlation_id, rules, kept.sequence)

    def _rules(self, moment: datetime) -> RulesOfADay:
        return self.rules_on(business_day(moment))


_DECIDED_AGAINST = {
    SanctionStatus.REJECTED: StrikeEnd.SANCTION_REJECTED,
    SanctionStatus.OVERTURNED: StrikeEnd.APPEAL_GRANTED,
}


def _event_of(strike: Strike | None) -> str | None:
    return None if strike is None else strike.rests_on[-1]


def _withdrawal(sanction: Sanction, kept: Kept, because: str, rules: str, cause: str | None) -> Due[Any]:
    change = withdraw(sanction)
    return Due(
        change.fact, change.sanction, cause or kept.event_id, kept.correlation_id, rules, kept.sequence,
        because=because,
    )  # fmt: skip
