"""Identity and bank-card numbers within runs of digits that may have separators between them.

Where every digit stands by itself, each may be where a number begins, so a pattern that is tried at each of
them and refused by its check digits costs a comment of 2,000 such signs what forty ordinary ones cost. So the
digits of a run are taken together once, patterns of C look for possible birthdays and issuers, and sums that
are kept along the run give the check digit of a bank card in one subtraction.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from shared.kernel.identity_numbers import resembles_identity_number

GAP: Final = r"[\s\-·.()_/]{0,3}"
"""What may stand between two digits of a number."""
_LONG: Final = 18
_SHORT: Final = 15
_RUN = re.compile(rf"\d(?:{GAP}\d){{{_SHORT - 1},}}(?:{GAP}[Xx](?![0-9]))?", re.ASCII)
_SIGN = re.compile(r"[0-9Xx]")
_BIRTHDAY = r"(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_BORN = re.compile(rf"[1-9]\d{{9}}{_BIRTHDAY}\d{{3}}[0-9Xx]", re.ASCII)
_BORN_BEFORE = re.compile(
    rf"(?:1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[12]|91)\d{{6}}{_BIRTHDAY}\d{{3}}", re.ASCII
)
_ISSUED = re.compile(
    r"(?:(?P<any>6[0289])|(?P<sixteen>4\d|5[1-5]|35)|(?P<nineteen>955[89]\d))\d{14}", re.ASCII
)
_CARD: Final = (19, 18, 17, 16)
_LENGTHS: Final = {"any": _CARD, "sixteen": (16,), "nineteen": (19,)}
_X: Final = 10
_TWICE_18_TIMES: Final = 2**_LONG % 11
_DOUBLED: Final = {str(digit): sum(divmod(2 * digit, 10)) for digit in range(10)}


@dataclass(frozen=True, slots=True)
class _Run:
    """Digits with at most three separators between two of them.

    Attributes:
        digits: without what stands between; the last one may be X.
        places: where each stands in the text.
        starts: numbers of those that do not stand right behind another.
    """

    digits: str
    places: list[int]
    starts: list[int]

    def span(self, start: int, length: int) -> tuple[int, int] | None:
        """Where `length` digits from `start` on stand; None if there are less, or a digit is right behind."""
        last = start + length - 1
        digits, places = self.digits, self.places
        if last >= len(digits):
            return None
        if last + 1 < len(digits) and places[last + 1] - places[last] == 1 and digits[last + 1] not in "Xx":
            return None
        return places[start], places[last] + 1


class DigitRuns:
    """The runs of the text that was asked about last, which is mostly asked about several times."""

    def __init__(self) -> None:
        """Of no text yet."""
        self._copy = ""
        self._found: list[_Run] = []

    def _of(self, copy: str) -> list[_Run]:
        if copy != self._copy:
            self._copy, self._found = copy, [_run_of(copy, match) for match in _RUN.finditer(copy)]
        return self._found

    def identities(self, copy: str, *, mistyped: bool, shorter: bool) -> list[tuple[int, int]]:
        """Where identity numbers stand: of 18 with their check digit, or of 15 of a known province.

        Args:
            copy: plain text, its digits ASCII.
            mistyped: take those of 18 with a wrong check digit, too.
            shorter: look for one of 15 also where 18 digits are none: others may stand behind it.
        """
        spans: list[tuple[int, int]] = []
        for run in self._of(copy):
            digits, sums, done = run.digits, _IdentitySums(run.digits), 0
            for start in run.starts:
                if start < done:
                    continue
                length, span = _LONG, run.span(start, _LONG)
                if span is None or not (
                    _BORN.match(digits, start) is not None
                    and (
                        sums.pass_at(start)
                        or (mistyped and resembles_identity_number(digits[start : start + _LONG]))
                    )
                ):
                    tried = (shorter or span is None) and _BORN_BEFORE.match(digits, start) is not None
                    length, span = _SHORT, run.span(start, _SHORT) if tried else None
                if span is not None:
                    spans.append(span)
                    done = start + length
        return spans

    def bank_cards(self, copy: str, *, accept: Callable[[str], bool], shorter: bool) -> list[tuple[int, int]]:
        """Where numbers of bank cards stand: of a known issuer, with their check digit, the longest first.

        Args:
            copy: plain text, its digits ASCII.
            accept: has the last word, on a number as it is written.
            shorter: go on with shorter ones where the longest is none: other digits may stand behind one.
        """
        spans: list[tuple[int, int]] = []
        for run in self._of(copy):
            digits, sums, done = run.digits, _CardSums(run.digits), 0
            for start in run.starts:
                issued = _ISSUED.match(digits, start) if start >= done else None
                if issued is None:
                    continue
                lengths = _LENGTHS[issued.lastgroup or ""]
                for length in _CARD:
                    span = run.span(start, length) if sums.reach(start + length) else None
                    if span is None:
                        continue
                    if length in lengths and sums.pass_at(start, length) and accept(copy[slice(*span)]):
                        spans.append(span)
                        done = start + length
                        break
                    if not shorter:
                        break
        return spans


def _run_of(copy: str, match: re.Match[str]) -> _Run:
    places = [sign.start() for sign in _SIGN.finditer(copy, *match.span())]
    starts = [number for number, place in enumerate(places) if not number or place - places[number - 1] > 1]
    return _Run("".join(_SIGN.findall(match[0])), places, starts)


class _IdentitySums:
    """The sum of ISO 7064 MOD 11-2 along digits, made when the first is asked for."""

    def __init__(self, digits: str) -> None:
        self._digits = digits
        self._sums: list[int] = []

    def pass_at(self, start: int) -> bool:
        """Whether the last of the 18 digits from `start` on is their check digit."""
        if not self._sums:
            values = (_X if each in "Xx" else int(each) for each in self._digits)
            self._sums = list(accumulate(values, lambda total, value: (2 * total + value) % 11, initial=0))
        return (self._sums[start + _LONG] - _TWICE_18_TIMES * self._sums[start]) % 11 == 1


class _CardSums:
    """The sums of ISO/IEC 7812 along digits, made when the first is asked for."""

    def __init__(self, digits: str) -> None:
        self._digits = digits.rstrip("Xx")
        self._sums: tuple[list[int], list[int]] | None = None

    def reach(self, end: int) -> bool:
        """Whether there are so many digits; an X is none."""
        return end <= len(self._digits)

    def pass_at(self, start: int, length: int) -> bool:
        """Whether the last of `length` digits from `start` on is their check digit."""
        if self._sums is None:
            self._sums = self._along(0), self._along(1)
        end = start + length
        along = self._sums[(end - 1) % 2]
        return (along[end] - along[start]) % 10 == 0

    def _along(self, single: int) -> list[int]:
        """Sums in which every digit is doubled, but for those at even (0) or odd (1) places."""
        values = (
            int(each) if place % 2 == single else _DOUBLED[each] for place, each in enumerate(self._digits)
        )
        return list(accumulate(values, initial=0))
