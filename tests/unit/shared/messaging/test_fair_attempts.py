"""When a message's attempts are used up: not by crashes and outages alone."""

from datetime import timedelta

import pytest

from shared.messaging.failure import GiveUp, Retry, decide, fair_attempts

DELAYS_S = (1.0, 5.0, 30.0)


@pytest.mark.parametrize(
    ("delivered", "age_s", "attempts"),
    [
        (1, 0, 1),
        (3, 0, 3),
        (4, 5, 3),  # crashes made it four deliveries within seconds
        (400, 5, 3),
        (4, 36, 4),
        (4, 35, 4),  # as old as the delays make it, by a clock that is a little behind
        (400, 3600, 400),
        (5, -7, 3),  # our clock is behind the broker's
    ],
)
def test_deliveries_count_fully_once_the_message_is_old_enough(
    delivered: int, age_s: float, attempts: int
) -> None:
    assert fair_attempts(delivered, timedelta(seconds=age_s), DELAYS_S) == attempts


def test_a_young_message_is_not_given_up_however_often_it_was_delivered() -> None:
    error = RuntimeError("a defect")
    young = fair_attempts(50, timedelta(seconds=20), DELAYS_S)
    old = fair_attempts(50, timedelta(seconds=40), DELAYS_S)
    assert decide(error, young, DELAYS_S) == Retry(30.0)
    assert decide(error, old, DELAYS_S) == GiveUp()


def test_without_delays_the_first_attempt_is_the_last() -> None:
    assert decide(RuntimeError(), fair_attempts(1, timedelta(0), ()), ()) == GiveUp()
