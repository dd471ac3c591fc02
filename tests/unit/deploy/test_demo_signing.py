"""What the demonstration says of checkpoints is what the archive's histogram holds, and no better."""

from io import StringIO
from math import inf

import pytest
from prometheus_client import generate_latest
from rich.console import Console

from deploy.local.demo.signing import Delays, parse
from deploy.local.demo.tour import show_signing
from services.archive.metrics import ArchiveMetrics
from shared.observability.metrics import ServiceMetrics
from shared.testing.clock import NOON


def counted(*delays_s: float) -> Delays:
    """As an archive whose checkpoints were so late shows them."""
    service = ServiceMetrics("archive")
    metrics = ArchiveMetrics(service)
    for delay_s in delays_s:
        metrics.checkpoint_delay.observe(delay_s)
    metrics.signed(712, NOON)
    delays, signed = parse(generate_latest(service.registry).decode())
    assert signed == 712
    return delays


def test_the_bound_is_that_of_the_latest_checkpoint() -> None:
    delays = counted(*[9.7] * 99, 14.2)
    assert (delays.checkpoints, delays.longest_s) == (100, 15.0)
    assert delays.share_within(10.0) == pytest.approx(0.99)
    assert counted(700).longest_s == inf
    assert counted().longest_s is None


def test_what_was_signed_before_does_not_count() -> None:
    assert counted(700, 0.7, 4.2).since(counted(700)).as_json() == {"checkpoints": 2, "longest_s": 5.0}
    assert counted(700).as_json() == {"checkpoints": 1, "longest_s": None}


@pytest.mark.parametrize(
    ("delays_s", "said"),
    [
        (
            (4.0, 11.8),
            "p99 不超过 12 秒（2 个检查点，均按等待最久的一条计），目标 15 秒：达到 ✓",
        ),
        (
            (4.0, 15.1),
            "p99 不超过 20 秒（2 个检查点，均按等待最久的一条计），目标 15 秒：未达到 ✗",
        ),
        ((601.0,), "超过 10 分钟（1 个检查点，均按等待最久的一条计），目标 15 秒：未达到 ✗"),
        ((), ""),
    ],
)
def test_the_tour_says_whether_the_goal_is_reached(delays_s: tuple[float, ...], said: str) -> None:
    out = StringIO()
    show_signing(Console(file=out, width=200), counted(*delays_s))
    assert out.getvalue().removeprefix("受理 → 签名检查点  ").strip() == said
