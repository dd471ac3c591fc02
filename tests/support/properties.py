"""How many examples a property is tried with: a share in ``make test``, all of them in ``make properties``.

Both draw the same examples every time: whether a change may land depends on the change, not on luck, and
what failed once fails again. ``make explore`` draws others every time, as many as ``make properties``, for
all property tests; what it finds becomes an example. HYPOTHESIS_PROFILE chooses, for any pytest command.
"""

import os
from typing import Any, Final

from hypothesis import settings

QUICK: Final = "quick"
THOROUGH: Final = "thorough"
EXPLORE: Final = "explore"
PROFILE: Final = os.environ.get("HYPOTHESIS_PROFILE") or QUICK

SHARE_PERCENT: Final = 15
LEAST: Final = 20
RETRIED_PERCENT: Final = 5
RETRIED_LEAST: Final = 10
"""The same of properties that the build server tries with all their examples besides: see :func:`retried`."""
DEFAULT: Final = {QUICK: 40, THOROUGH: 1000, EXPLORE: 1000}
"""Examples of a property that asks for no number."""


def load_profile() -> None:
    """Make the chosen profile hypothesis' own; to be called before a test module is imported."""
    for name, number in DEFAULT.items():
        # The machines that run the tests are shared: how long an example takes says nothing about the code.
        settings.register_profile(name, deadline=None, max_examples=number, derandomize=name != EXPLORE)
    settings.load_profile(PROFILE)


def number_of(
    thorough: int, profile: str = PROFILE, *, percent: int = SHARE_PERCENT, least: int = LEAST
) -> int:
    """How many of ``thorough`` examples are tried under ``profile``: in a quick run a share, or a few."""
    return min(thorough, max(least, thorough * percent // 100)) if profile == QUICK else thorough


def examples(thorough: int, **options: Any) -> settings:  # noqa: ANN401 - hypothesis' own settings
    """``@examples(1000)`` above ``@given``: that many in ``make properties``, a share of them else.

    Args:
        thorough: how many it takes to be believed.
        options: passed on to hypothesis' ``settings``.
    """
    return settings(max_examples=number_of(thorough), **options)


def retried(thorough: int, **options: Any) -> settings:  # noqa: ANN401 - hypothesis' own settings
    """The same for scoring's properties, which ``.ci/run`` tries with all examples: a third of the share.

    ``make test`` is the only place that tries the others before a change lands.
    """
    number = number_of(thorough, percent=RETRIED_PERCENT, least=RETRIED_LEAST)
    return settings(max_examples=number, **options)
