"""What a rating's states allow, whatever somebody tries."""

from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain.revisions import History, Move, Revision, State, open_moves, revision_id
from tests.unit.intake.port_suites import accepted, revision

COUNTED_AFTER = {Move.CORRECT, Move.REINSTATE, Move.RELEASE}
AGREED = {
    (State.COUNTED, Move.CORRECT): State.COUNTED,
    (State.COUNTED, Move.WITHDRAW): State.WITHDRAWN,
    (State.COUNTED, Move.EXCLUDE): State.EXCLUDED,
    (State.COUNTED, Move.QUARANTINE): State.QUARANTINED,
    (State.EXCLUDED, Move.REINSTATE): State.COUNTED,
    (State.EXCLUDED, Move.WITHDRAW): State.WITHDRAWN,
    (State.QUARANTINED, Move.RELEASE): State.COUNTED,
    (State.QUARANTINED, Move.EXCLUDE): State.EXCLUDED,
    (State.QUARANTINED, Move.WITHDRAW): State.WITHDRAWN,
}
moves = st.lists(st.sampled_from(Move), max_size=30)


def lead(tried: list[Move]) -> tuple[History, list[Move]]:
    """The history after trying each move in turn, and those that were open."""
    history, made = History(accepted("a", 1)), []
    for move in tried:
        if move in history.moves:
            made.append(move)
            history = history.followed_by(revision("a", history.number + 1, len(made) + 1, move))
    return history, made


def test_exactly_the_agreed_moves_are_open_and_lead_where_agreed() -> None:
    assert {(state, move): move.leads_to for state in State for move in open_moves(state)} == AGREED


@given(moves)
def test_no_sequence_of_attempts_leaves_the_agreed_states(tried: list[Move]) -> None:
    history, made = lead(tried)
    state = State.COUNTED
    for move in made:
        state = AGREED[state, move]
    assert history.state is state
    assert [each.number for each in history.revisions] == list(range(1, len(made) + 1))
    assert history.number == len(made)


@given(moves, moves)
def test_a_withdrawn_rating_never_counts_again(before: list[Move], after: list[Move]) -> None:
    history, _ = lead([*before, Move.REINSTATE, Move.RELEASE, Move.WITHDRAW, *after])
    withdrawn = [place for place, each in enumerate(history.revisions) if each.move is Move.WITHDRAW]
    assert withdrawn in ([], [len(history.revisions) - 1])
    assert (history.state is State.WITHDRAWN) == bool(withdrawn)


@given(moves)
def test_a_rating_counts_exactly_after_a_move_that_lets_it_count(tried: list[Move]) -> None:
    history, made = lead(tried)
    assert (history.state is State.COUNTED) == (not made or made[-1] in COUNTED_AFTER)
    assert history.corrected == (Move.CORRECT in made)


def test_a_number_that_is_known_changes_nothing() -> None:
    history = History(accepted("a", 1)).followed_by(revision("a", 1, 2))
    assert history.followed_by(revision("a", 1, 3, Move.QUARANTINE)) is history


def test_what_is_in_force_is_what_the_last_revision_says() -> None:
    rating = accepted("a", 1)
    assert (History(rating).unit_id, History(rating).grade, History(rating).sequence) == ("U000200", 5, 1)
    last = Revision(rating.receipt, 1, Move.CORRECT, 9, rating.received_at, None, "k1.d", "U000201", 2)
    history = History(rating, (last,))
    assert (history.unit_id, history.grade, history.sequence) == ("U000201", 2, 9)


def test_a_revision_is_found_by_the_key_of_its_request_and_none_without_a_key() -> None:
    keyless, keyed = revision("a", 1, 2), revision("a", 2, 3, Move.REINSTATE)
    history = History(accepted("a", 1), (keyless, keyed))
    assert history.under(keyed.request) is keyed
    assert history.under("k1.another") is None
    assert history.under(None) is None


def test_a_revisions_id_belongs_to_the_rating_and_the_number() -> None:
    ids = {revision_id(target, number) for target in ("a", "b", "a1") for number in (1, 2, 11)}
    assert len(ids) == 9
    assert revision_id("a", 1) == revision_id("a", 1)
