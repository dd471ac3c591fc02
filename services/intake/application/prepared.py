"""From a client's words to a rating that may be stored: identity, digest, receipt."""

from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

from services.intake.application.errors import RejectedError
from services.intake.application.ports import Rules
from services.intake.domain.acceptance import (
    Issue,
    issue_of_source,
    issues_of,
    proofs_of,
    verification_of,
)
from services.intake.domain.event_ids import EventIds
from services.intake.domain.panels import PanelBook
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.domain.submission import Submission, unix_ms
from services.intake.domain.token_checks import TOKEN, issues_of_token
from services.intake.domain.tokens import Token, TokenMint
from shared.events import Provenance
from shared.kernel.clock import Clock, business_day, rfc3339, whole_ms
from shared.kernel.grades import Channel, Verification
from shared.kernel.ids import RANDOM_BYTES, uuid7
from shared.kernel.units import Unit, UnitRegistry
from shared.rules.pack import Intake as IntakeRules

KEY_HEADER: Final = "Idempotency-Key"
CLIENT_REF: Final = "client_ref"

RandomBytes = Callable[[int], bytes]


class RequestFacts(NamedTuple):
    """What holds for every rating of one request.

    Attributes:
        received_at: when it came; whole milliseconds, as the event keeps it.
        received_text: the same in RFC 3339; formatted once for all ratings of a batch.
        rules: limits of the rule pack in force.
        rules_hash: hash of that pack.
        idempotency_key: the header's value.
        address: network address of the citizen, None where unknown or shared.
        synthetic: a probe or drill; never counted.
        import_id: bulk import that they came with; goes into their events, so that it can be undone.
        credential: id of the key that proved who sends; None where there was none.
    """

    received_at: datetime
    received_text: str
    rules: IntakeRules
    rules_hash: str
    provenance: Provenance
    idempotency_key: str | None = None
    address: str | None = None
    synthetic: bool = False
    import_id: str | None = None
    credential: str | None = None


class Prepared(NamedTuple):
    """A rating that may be accepted.

    Attributes:
        key_field: what held the client's key that the id comes from; None: the id is new.
        token: the genuine one-time token that it came with.
        former: receipts under which it may have been accepted before: of the ids that it would have got by
            its other keys, and under former keys of ours.
        also: what holds the first of its other keys; None if it has one key, or none.
        others: ids that it goes by, too: one for each of its other keys.
        other_receipts: the receipts of these.
    """

    submission: Submission
    unit: Unit
    facts: RequestFacts
    event_id: str
    receipt: bytes
    digest: str
    key_field: str | None
    verification: Verification
    token: Token | None = None
    former: tuple[bytes, ...] = ()
    also: str | None = None
    others: tuple[str, ...] = ()
    other_receipts: tuple[bytes, ...] = ()

    @property
    def keyed(self) -> bool:
        """Whether it may have been accepted before."""
        return self.key_field is not None

    @property
    def occurred_at(self) -> datetime:
        """When it happened; when it was received, if the client did not say."""
        return self.submission.occurred_at or self.facts.received_at


class _Names(NamedTuple):
    """What a rating is called by; see the attributes of `Prepared`."""

    event_id: str
    key_field: str | None = None
    former: tuple[bytes, ...] = ()
    also: str | None = None
    others: tuple[str, ...] = ()
    other_receipts: tuple[bytes, ...] = ()


class Preparer:
    """Judges submissions and gives them their identity."""

    def __init__(  # noqa: PLR0913 - each a part of identity or of judgement
        self,
        units: UnitRegistry,
        pseudonyms: Pseudonyms,
        rules: Rules,
        clock: Clock,
        random: RandomBytes,
        panels: Callable[[], PanelBook] = PanelBook,
        *,
        ids: EventIds,
        mint: TokenMint,
    ) -> None:
        """Everything that identity and judgement depend on; `panels` raises while nobody can say."""
        self._panels = panels
        self._units = units
        self._pseudonyms = pseudonyms
        self._rules = rules
        self._clock = clock
        self._random = random
        self._ids = ids
        self._mint = mint

    def facts(
        self,
        provenance: Provenance,
        *,
        idempotency_key: str | None = None,
        address: str | None = None,
        synthetic: bool = False,
        import_id: str | None = None,
        credential: str | None = None,
    ) -> RequestFacts:
        """Take down the facts of a request that has just come in."""
        received_at = whole_ms(self._clock.now())
        pack = self._rules.at(received_at)
        return RequestFacts(
            received_at,
            rfc3339(received_at),
            pack.intake,
            pack.hash,
            provenance,
            idempotency_key,
            address,
            synthetic,
            import_id,
            credential,
        )

    def one(self, submission: Submission, facts: RequestFacts) -> Prepared:
        """Prepare a rating that came by itself: its token is its key, else `client_ref`, else the header's.

        Whichever of them it has besides are its names, too: the same rating is found by each of them, and by
        none of them another one.

        Raises:
            RejectedError: it can't be accepted.
        """
        parts = None
        if facts.idempotency_key is not None:
            parts = ("idempotency", submission.channel.value, facts.idempotency_key)
        return self._named(submission, facts, parts)

    def line(self, submission: Submission, facts: RequestFacts, place: int) -> Prepared:
        """Prepare the rating at `place` in a batch; the batch's key is for lines that have none of their own.

        Raises:
            RejectedError: it can't be accepted, or nothing would tell a repeat of it from a new rating.
        """
        if submission.keyed:
            return self._named(submission, facts, None)
        if facts.idempotency_key is not None:
            parts = ("idempotency-line", submission.channel.value, facts.idempotency_key, str(place))
            return self._named(submission, facts, parts)
        raise RejectedError(
            (
                Issue(
                    CLIENT_REF,
                    "nothing",
                    "a reference of the client's own, so that the batch can be repeated safely",
                    f"add client_ref to the line, or send the header {KEY_HEADER} with the batch",
                ),
            )
        )

    def receipts_of_token(self, token: Token) -> tuple[bytes, ...]:
        """The receipts that the rating made with `token` has, or would have under former keys."""
        parts = (TOKEN, token.use)
        ids = (self._ids.of(*parts), *self._ids.formerly(*parts))
        return tuple(self._pseudonyms.receipt(event_id) for event_id in ids)

    def _named(self, submission: Submission, facts: RequestFacts, header: tuple[str, ...] | None) -> Prepared:
        """Prepare a rating under all names that its client can call it by; `header` is the request's key."""
        token: Token | None = None
        keys: list[tuple[str, tuple[str, ...]]] = []
        if submission.token is not None:
            token = self._genuine(submission, submission.token, facts)
            keys.append((TOKEN, (TOKEN, token.use)))
        if submission.client_ref is not None:
            keys.append((CLIENT_REF, (CLIENT_REF, submission.channel.value, submission.client_ref)))
        if header is not None:
            keys.append((KEY_HEADER, header))
        return self._prepare(submission, facts, self._names(keys, facts), token)

    def _names(self, keys: list[tuple[str, tuple[str, ...]]], facts: RequestFacts) -> _Names:
        """The ids and receipts that belong to the client's `keys`; without any, an id of its own."""
        if not keys:
            return _Names(uuid7(unix_ms(facts.received_at), self._random(RANDOM_BYTES)))
        receipt = self._pseudonyms.receipt
        (field, parts), *more = keys
        former = [receipt(event_id) for event_id in self._ids.formerly(*parts)]
        others: list[str] = []
        other_receipts: list[bytes] = []
        for _, other in more:
            others.append(self._ids.of(*other))
            other_receipts.append(receipt(others[-1]))
            former.append(other_receipts[-1])
            former += [receipt(event_id) for event_id in self._ids.formerly(*other)]
        return _Names(
            self._ids.of(*parts),
            field,
            tuple(former),
            more[0][0] if more else None,
            tuple(others),
            tuple(other_receipts),
        )

    def _genuine(self, submission: Submission, text: str, facts: RequestFacts) -> Token:
        token = self._mint.read(text)
        issues = issues_of_token(
            token,
            submission,
            facts.received_at,
            proofs_of(submission.channel, facts.rules, imported=facts.import_id is not None),
            self._pseudonyms.transaction(submission.transaction_id),
            self._units,
        )
        if token is None or issues:
            raise RejectedError(issues)
        return token

    def _prepare(
        self,
        submission: Submission,
        facts: RequestFacts,
        names: _Names,
        token: Token | None,
    ) -> Prepared:
        imported = facts.import_id is not None
        issues = issues_of(submission, self._units, facts.rules, facts.received_at)
        foreign = issue_of_source(submission, facts.rules, imported=imported)
        if not issues and foreign is None and submission.channel is Channel.ASSESSOR:
            issues = self._ballot_issues(submission, facts)
        if issues or foreign is not None:
            raise RejectedError(issues if foreign is None else (*issues, foreign))
        proofs = proofs_of(submission.channel, facts.rules, imported=imported)
        return Prepared(
            submission=submission,
            unit=self._units.get(submission.unit_id),
            facts=facts,
            event_id=names.event_id,
            receipt=self._pseudonyms.receipt(names.event_id),
            digest=self._pseudonyms.digest(submission),
            key_field=names.key_field,
            verification=verification_of(submission, proofs, by_token=token is not None),
            token=token,
            former=names.former,
            also=names.also,
            others=names.others,
            other_receipts=names.other_receipts,
        )

    def _ballot_issues(self, submission: Submission, facts: RequestFacts) -> tuple[Issue, ...]:
        """What keeps a ballot of an assessor out; only enrolled ones, within their panel's scope and year."""
        number = submission.contact.account if submission.contact is not None else None
        issue = self._panels().issue(
            self._pseudonyms.assessor(number) if number else None,
            self._units.get(submission.unit_id),
            business_day(submission.occurred_at or facts.received_at).year,
        )
        return () if issue is None else (issue,)
