"""How fast requests that are not let in are told so: refusing is work, too, and must leave room for answers.

Whoever is sent away comes back at once where a client has no patience, and with a thousand of those an event
loop does nothing but refuse: an accepted rating, which needs some ten turns of the loop, waited behind
a thousand refusals at each of them. So for every four that are let in and answered one is sent away. The
others wait: a connection that waits for its answer sends nothing, and costs nothing.
"""

from typing import Final

SHARE: Final = 0.25
"""Refusals for each answer: one costs two thirds of the other."""
LEAST_PER_S: Final = 20.0
_WINDOW_S: Final = 0.5


class Pace:
    """Spaces out refusals by what is answered meanwhile. Not for threads; times are seconds of one clock."""

    def __init__(self, most_per_s: float, most_s: float) -> None:
        """Let at most `most_per_s` happen in a second, but let nothing wait for longer than `most_s`."""
        self._most_per_s = most_per_s
        self._most_s = most_s
        self._gap_s = 1.0 / max(LEAST_PER_S, SHARE * most_per_s)
        self._next = 0.0
        self._answers = 0
        self._since = 0.0

    def answered(self, now: float) -> None:
        """Somebody who was let in has the answer."""
        self._answers += 1
        if now - self._since >= _WINDOW_S:
            per_s = SHARE * self._answers / (now - self._since)
            self._gap_s = 1.0 / min(self._most_per_s, max(LEAST_PER_S, per_s))
            self._answers, self._since = 0, now

    def delay_s(self, now: float) -> float:
        """How long what is to happen now has to wait; it has its turn then."""
        due = max(now, self._next)
        if due > now + self._most_s:
            return self._most_s
        self._next = due + self._gap_s
        return due - now
