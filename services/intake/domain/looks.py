"""What one look at the stream tells whoever acts on it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.intake.domain.screening import Hold, Release


class Look(NamedTuple):
    """What screening made of a few messages.

    Attributes:
        messages: how many were read.
        lag: how many are still to come.
        steps: what is decided, and ids of ratings that somebody holds already, in the order of the stream.
        ratings: bytes of ratings that are to be held, by sequence, as far as they were just read.
        anew: earlier decisions that are not carried out are void: this look is the first of a fold that
            decides them again.
    """

    messages: int
    lag: int
    steps: Sequence[Hold | Release | str]
    ratings: Mapping[int, bytes]
    anew: bool


NOTHING = Look(0, 0, (), {}, anew=False)
