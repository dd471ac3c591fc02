"""Which list somebody asks for, and its rows page by page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from services.scoring.application.cursors import Paged, decode_cursor, encode_cursor
from services.scoring.application.published import PublishedList
from services.scoring.domain.lists import ListKey, Row
from services.scoring.domain.roster import ALL_KINDS
from services.scoring.domain.spans import Period, Rolling, Span
from shared.kernel.errors import InvalidValueError, NotFoundError

DEFAULT_WINDOW: Final = "30"


@dataclass(frozen=True, slots=True)
class WantedList:
    """Which list somebody asks for.

    Attributes:
        level: window, county, city or province.
        kind: a window kind; None: all kinds.
        window: days of the rolling window, ``30`` or ``30d``; None: 30, unless a period is named.
        period: label of a calendar period, e.g. ``2026-11``; None: a rolling window.
        parent: id of the city or county whose units are wanted; None: the whole list.
    """

    level: str = "county"
    kind: str | None = None
    window: str | None = None
    period: str | None = None
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list.

    Attributes:
        list: the list.
        position: sequence of FEEDBACK that it is valid at; nothing up to there changes it.
        rows: the rows of this page.
        next: cursor of the next page; None at the end.
        cases: the same as `position`, of CASES.
    """

    list: PublishedList
    position: int
    rows: Sequence[Row]
    next: str | None
    cases: int = 0


def page_of(
    found: PublishedList, position: int, limit: int | None, cursor: str | None, cases: int = 0
) -> Page:
    """Up to ``limit`` rows of a list (None: all that are left), from ``cursor`` on.

    Raises:
        InvalidValueError: not a cursor of this list.
        ListRevisedError: the list has been revised since the page before.
    """
    paged = Paged(_name(found), found.hash, found.head["computed_at"], len(found.rows))
    start = 0 if cursor is None else decode_cursor(cursor, paged)
    end = len(found.rows) if limit is None else start + limit
    more = encode_cursor(end, paged) if end < len(found.rows) else None
    return Page(found, position, found.rows[start:end], more, cases)


def _name(found: PublishedList) -> str:
    """The list's key, with the day and the parent that make it another list."""
    day = f" as of {found.as_of}" if found.head.get("recomputed") else ""
    parent = found.head.get("parent")
    return f"{found.key}{day}" + ("" if parent is None else f" below {parent}")


def choose_list(wanted: WantedList, keys: Sequence[ListKey]) -> ListKey:
    """The key of the wanted list.

    Raises:
        InvalidValueError: there is no such list, or both window and period are named.
    """
    level = choose("level", wanted.level, [str(key.level) for key in keys])
    keys = [key for key in keys if str(key.level) == level]
    kind = choose("kind", wanted.kind or ALL_KINDS, [key.kind or ALL_KINDS for key in keys])
    keys = [key for key in keys if (key.kind or ALL_KINDS) == kind]
    span = choose_span(wanted.window, wanted.period, keys)
    return next(key for key in keys if key.span == span)


def choose_span(window: str | None, period: str | None, keys: Iterable[ListKey]) -> Span:
    """The span of ``keys`` that is asked for; neither a window nor a period: `DEFAULT_WINDOW`.

    Raises:
        InvalidValueError: there is no such span, or both window and period are named.
    """
    spans = {str(key.span): key.span for key in keys}
    if period is None:
        days = (window or DEFAULT_WINDOW).removesuffix("d")
        return spans[
            choose("window", days, (text for text, span in spans.items() if isinstance(span, Rolling)))
        ]
    if window is not None:
        raise InvalidValueError(
            f"window {window} and period {period}",
            "a window or a period",
            "leave one of them out",
            field="period",
        )
    return spans[choose("period", period, (text for text, span in spans.items() if isinstance(span, Period)))]


def find_key(text: str, keys: Iterable[ListKey]) -> ListKey:
    """The list with the key ``text``.

    Raises:
        NotFoundError: there is none; the message names the levels, kinds and spans that there are.
    """
    known = {str(key): key for key in keys}
    found = known.get(text)
    if found is None:
        levels, kinds, spans = (
            ", ".join(dict.fromkeys(parts))
            for parts in zip(
                *((str(key.level), key.kind or ALL_KINDS, str(key.span)) for key in known.values()),
                strict=True,
            )
        )
        raise NotFoundError(
            text,
            f"<level>.<kind>.<days or period> with a level of {levels}; a kind of {kinds}; days or period of "
            f"{spans}",
            "write it like window.marriage.30 or county.all.30: only windows have kinds",
            field="list",
        )
    return found


def choose(field: str, value: str, known: Iterable[str]) -> str:
    """``value`` if it is known.

    Raises:
        InvalidValueError: it is not; the message names what is.
    """
    choices = list(dict.fromkeys(known))
    if value not in choices:
        raise InvalidValueError(
            value, f"one of {', '.join(choices)}", f"choose a {field} that exists", field=field
        )
    return value
