"""How an archived stream is numbered after its history was accepted."""

from hypothesis import given
from hypothesis import strategies as st

from services.archive.domain.epochs import Accepted, Numbering


def test_without_decisions_both_count_alike() -> None:
    numbering = Numbering()
    assert numbering.plain
    assert (numbering.archived_as(7), numbering.in_stream(7)) == (7, 7)


def test_what_comes_behind_the_fork_continues_the_archive() -> None:
    numbering = Numbering.after([Accepted(fork=480, offset=520)])  # archived up to 1000
    assert [numbering.archived_as(each) for each in (1, 480, 481, 500)] == [1, 480, 1001, 1020]
    assert [numbering.in_stream(each) for each in (1, 480, 481, 1000, 1001)] == [1, 480, None, None, 481]
    assert list(numbering.parts(470, 1002)) == [(470, 480, 0), (1001, 1002, 520)]


def test_a_stream_made_anew_shares_nothing() -> None:
    numbering = Numbering.after([Accepted(fork=0, offset=1000)])
    assert not numbering.plain
    assert numbering.archived_as(1) == 1001
    assert numbering.in_stream(1000) is None


def test_a_second_decision_may_fork_before_the_first() -> None:
    numbering = Numbering.after([Accepted(480, 520), Accepted(100, 1920)])  # archived up to 1000, then 2020
    assert [numbering.in_stream(each) for each in (100, 101, 1001, 2020, 2021)] == [
        100,
        None,
        None,
        None,
        101,
    ]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 40)), max_size=5))
def test_no_archived_sequence_is_used_twice_and_none_left_out(histories: list[tuple[int, int]]) -> None:
    """Play a stream: it grows, goes back to a fork, is accepted, grows again …; the archive counts on."""
    decisions: list[Accepted] = []
    archived: list[int] = []
    last = 0
    for grown, back in histories:
        numbering = Numbering.after(decisions)
        archived += [numbering.archived_as(each) for each in range(last + 1, last + grown + 1)]
        last += grown
        fork = max(0, last - back)
        position = len(archived)
        assert archived == list(range(1, position + 1))
        if fork < last:
            decisions.append(Accepted(fork, position - fork))
            last = fork
    numbering = Numbering.after(decisions)
    kept = [each for each in archived if numbering.in_stream(each) is not None]
    assert [numbering.in_stream(each) for each in kept] == list(range(1, len(kept) + 1))
    assert all(numbering.archived_as(number) == each for number, each in enumerate(kept, 1))
