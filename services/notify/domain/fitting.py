"""A text in so many bytes: what it is about, how many more there are and the alert's number always stay."""

from typing import Final

from services.notify.domain.digests import ITEM, rest_line
from services.notify.domain.texts import Text, cut

TITLE_BYTES: Final = 600
_BREAKS: Final = 2
FACTS_PART: Final = 3
"""Facts get at least this part of the room; where the body needs less than the others, more."""


def fitted(text: Text, limit: int) -> str:
    """Return title, body, facts and the alert's number in at most `limit` bytes of UTF-8.

    The body is cut, and facts at their end (the ids of events). A digest loses whole lines, and says so.
    """
    if len(text.joined().encode()) <= limit:
        return text.joined()
    number = text.facts[-1]
    title = cut(text.title, max(0, limit - _size(number)))
    room = limit - len(title.encode()) - _size(number)
    if not title or room <= _BREAKS:
        return cut(number, limit)
    facts, body = "\n".join(text.facts[:-1]), "\n".join(text.body)
    share = max(room // FACTS_PART, room - _size(body))
    facts = cut(facts, max(0, share - 1))
    body = _body(text, max(0, room - _size(facts) - 1))
    return f"{title}\n{body}\n{facts}\n{number}"


def _size(block: str) -> int:
    return len(block.encode()) + 1  # and the line break


def _body(text: Text, limit: int) -> str:
    if text.listed is None:
        return cut("\n".join(text.body), limit)
    items = [line for line in text.body if line.startswith(ITEM)]
    for shown in range(len(items), -1, -1):
        rest = text.listed - shown
        tail = (rest_line(rest, text.language),) if rest else ()
        said = "\n".join((*text.body[:1], *items[:shown], *tail))
        if len(said.encode()) <= limit:
            return said
    return cut(rest_line(text.listed, text.language), limit)
