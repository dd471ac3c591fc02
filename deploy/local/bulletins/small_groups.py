"""Which counts of people a bulletin may show (DOMAIN §7): none of 1 to k-1, nor one that lets it be found.

0 is shown: it is a group of nobody. Pure.
"""

from collections.abc import Sequence


def small(count: int, least: int) -> bool:
    """Whether `count` is a group of people, and one of fewer than `least`."""
    return 0 < count < least


def shown(count: int, least: int) -> int | None:
    """`count`; None where it is too small."""
    return None if small(count, least) else count


def part(count: int, whole: int, least: int) -> int | None:
    """`count` of `whole`, of which the rest could be found by subtraction; None where either is too small."""
    if small(whole, least) or small(count, least) or small(whole - count, least):
        return None
    return count


def column(counts: Sequence[int], least: int) -> tuple[int | None, ...]:
    """Counts whose sum is shown, too: of one that is hidden alone the sum would tell, so another is hidden.

    Args:
        counts: of groups that have nobody in common.
        least: k.

    Returns:
        The counts in their order; None where hidden. The second to be hidden is the smallest but 0.
    """
    hidden = [place for place, count in enumerate(counts) if small(count, least)]
    if len(hidden) == 1:
        others = [place for place, count in enumerate(counts) if count >= least]
        hidden += sorted(others, key=lambda place: (counts[place], place))[:1]
    gone = set(hidden)
    return tuple(None if place in gone else count for place, count in enumerate(counts))
