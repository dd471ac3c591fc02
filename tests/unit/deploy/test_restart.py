from hypothesis import given
from hypothesis import strategies as st

from deploy.local.restart import RestartHistory, RestartPolicy

POLICY = RestartPolicy(first_delay_s=1, max_delay_s=8, jitter=0.2, stable_s=30, max_failures=6, window_s=600)


def middle() -> float:
    return 0.5


def test_delay_doubles_up_to_its_cap_and_then_it_is_given_up() -> None:
    history = RestartHistory(POLICY, middle)
    delays = [history.next_delay_s(started_s=at, ended_s=at + 1) for at in range(0, 60, 10)]
    assert delays == [1, 2, 4, 8, 8, None]


def test_a_child_that_wants_to_be_started_anew_has_not_failed() -> None:
    history = RestartHistory(POLICY, middle)
    for at in range(20):
        assert history.next_delay_s(started_s=at, ended_s=at, wanted=True) == POLICY.first_delay_s
    assert history.failed_at == []


def test_stable_run_clears_the_record() -> None:
    history = RestartHistory(POLICY, middle)
    for at in range(5):
        history.next_delay_s(started_s=at, ended_s=at)
    assert history.next_delay_s(started_s=10, ended_s=40) == 1


def test_failures_outside_the_window_no_longer_count() -> None:
    history = RestartHistory(RestartPolicy(stable_s=1000, max_failures=3, window_s=100), middle)
    delays = [history.next_delay_s(started_s=at, ended_s=at + 1) for at in range(0, 1000, 60)]
    assert None not in delays


@given(st.lists(st.floats(0, 29), min_size=5, max_size=5), st.floats(0, 1))
def test_delay_stays_within_jitter_of_the_cap(runs_s: list[float], uniform: float) -> None:
    history = RestartHistory(POLICY, lambda: uniform)
    now_s = 0.0
    for run_s in runs_s:
        delay_s = history.next_delay_s(started_s=now_s, ended_s=now_s + run_s)
        assert delay_s is not None
        assert 0.79 < delay_s < 9.61
        now_s += run_s + delay_s
