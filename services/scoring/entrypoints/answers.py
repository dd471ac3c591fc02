"""What answers have in common: problems in the description, entity tags, 304."""

import hashlib
from typing import Any, Final

from fastapi import Request, Response

PREFIX: Final = "/v1"
"""Of every router by itself: in logs and metrics, a route is named by the prefix of its own router only."""
DEFAULT_LIMIT: Final = 100
MOST_ROWS: Final = 2000

Responses = dict[int | str, dict[str, Any]]


def problem(status: int, description: str) -> Responses:
    """A problem that a route may answer with; `describe_problems` adds what it looks like, once for all."""
    return {status: {"description": description}}


NOT_MODIFIED: Final[Responses] = {
    304: {"description": "What `If-None-Match` names is still what would be answered; no body."}
}
UNPROCESSABLE: Final = problem(
    422, "No such level, kind, span, parent, day or cursor; the answer names what exists."
)
REVISED: Final = problem(409, "Revised after the page before: begin at the first page.")
NO_PROOF: Final = problem(401, "A proof came, and it is not good (any more).")
NO_UNIT: Final = problem(404, "No such unit; the answer proposes near ids.")
NO_LIST: Final = problem(404, "No such list; the answer names the levels, kinds and spans that there are.")
UNAVAILABLE: Final = problem(
    503, "Still folding the stream, or too much asked for at once: see Retry-After, and the detail."
)


class Tag:
    """The entity tag of one answer: what was asked, and the hash of what it shows.

    Weak, because an answer also states the position that it is valid at; that moves on with every rating and
    alone is no reason to send a list again.
    """

    def __init__(self, request: Request, *content: str) -> None:
        """``content``: hashes and everything else beside the address that decides what is answered."""
        asked = (request.url.path, request.url.query, *content)
        self._value = f'W/"{hashlib.sha256(chr(10).join(asked).encode()).hexdigest()[:32]}"'
        self._known = request.headers.get("if-none-match", "")

    @property
    def headers(self) -> dict[str, str]:
        """What an answer with this tag carries: it may be kept, but must be asked for again."""
        return {"ETag": self._value, "Cache-Control": "no-cache", "Vary": "Accept"}

    def not_modified(self) -> Response | None:
        """The 304, if the client has this answer already; compared weakly (RFC 9110, 13.1.2)."""
        opaque = self._value.removeprefix("W/")
        given = [each.strip().removeprefix("W/") for each in self._known.split(",")]
        return Response(status_code=304, headers=self.headers) if opaque in given or "*" in given else None
