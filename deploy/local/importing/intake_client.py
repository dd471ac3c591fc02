"""Intake's HTTP interface, as an import uses it: the registry's units and batches, with patience."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import httpx
import msgspec

from deploy.local import api
from deploy.local.errors import LocalError, ServiceRefusedError
from deploy.local.importing.faults import Fault
from deploy.local.importing.unit_names import NamedUnit
from shared.kernel.errors import describe

PATIENCE_S: Final = 900.0
"""How long a batch is tried again while intake is away; beyond it the import ends, and can be resumed."""
TIMEOUT_S: Final = 120.0
LONGEST_PAUSE_S: Final = 60.0
_FIRST_PAUSE_S: Final = 0.5
_PAGE: Final = 1_000
_LATER: Final = frozenset({429, 503})

RowNames = Callable[[str], str]


class Issue(msgspec.Struct):
    """One thing that intake found wrong."""

    field: str
    value: str | None = None
    expected: str = ""
    remedy: str = ""


class LineAnswer(msgspec.Struct):
    """Intake's answer to one line."""

    line: int
    status: str
    event_id: str | None = None
    errors: list[Issue] | None = None


class _BatchAnswer(msgspec.Struct):
    results: list[LineAnswer]


_decode = msgspec.json.Decoder(_BatchAnswer).decode

_IN_CHINESE: Final = {
    "unit_id": ("已登记单位的编号", "查对单位"),
    "grade": ("1 至 5 的等级", "改正等级"),
    "occurred_at": ("不晚于现在、且该单位存续期间内的时间", "改正时间，或改为当时存续的单位"),
    "source": ("该渠道可以承载的评议来源", "改正评议来源或渠道"),
    "token": ("本平台签发、未过期、未使用的评价码", "核对评价码，或去掉该列内容"),
    "transaction_id": ("评价码所属的办件", "核对办件号，或去掉该列内容"),
    "channel": ("渠道限额之内的评价数量", "稍后用同一命令导入拒收文件"),
    "text": ("长度不超过规则上限的意见", "缩短意见"),
    "contact": ("长度不超过规则上限的联系方式", "缩短或改正"),
    "client_ref": ("与首次导入时相同的内容", "该行此前已导入且内容不同，用 pingyi feedback correct 更正"),
}  # fmt: skip


_CONTROLS: Final = "without control characters"


def fault_of(issue: Issue) -> Fault:
    """What intake found, in both languages; where it has no Chinese of ours, its own words stand for both."""
    if _CONTROLS in issue.expected:
        expected, remedy = "不含控制字符的文字", "删去控制字符"
    else:
        expected, remedy = _IN_CHINESE.get(issue.field.split(".")[0], (issue.expected, issue.remedy))
    return Fault(expected, remedy, issue.expected, issue.remedy)


def new_http() -> httpx.AsyncClient:
    """A connection pool for an import; to be closed."""
    return httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, auth=api.wallet())


class IntakeClient:
    """Intake, seen from an import."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        url: str,
        *,
        patience_s: float = PATIENCE_S,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Talk to intake at `url`; `say` is told when it must be waited for."""
        self._http = http
        self._url = url
        self._patience_s = patience_s
        self._say = say

    async def units(self) -> list[NamedUnit]:
        """Every unit of the registry.

        Raises:
            LocalError: intake refuses, or stays away for longer than the patience.
        """
        found: list[NamedUnit] = []
        cursor: str | None = None
        while True:
            query: dict[str, str | int] = {"limit": _PAGE, **({"cursor": cursor} if cursor else {})}
            page = (await self._request("GET", "/v1/units", params=query)).json()
            found += [NamedUnit.of(item) for item in page["items"]]
            cursor = page["next"]
            if cursor is None:
                return found

    async def submit(self, lines: Sequence[bytes], import_id: str) -> list[LineAnswer]:
        """The answers to `lines`, in their order; repeated until intake has judged all of them.

        Raises:
            LocalError: intake refuses the batch, or stays away for longer than the patience.
        """
        answer = await self._request(
            "POST",
            "/v1/feedback/batch",
            content=b"\n".join(lines),
            headers={"Content-Type": "application/x-ndjson", "X-Import-Id": import_id},
        )
        results = _decode(answer.content).results
        if len(results) != len(lines):
            raise LocalError(
                describe(
                    f"{len(results)} answers", f"one for each of {len(lines)} lines", "look at intake's log"
                )
            )
        return results

    async def ask_exclusions(self, body: dict[str, Any], key: str) -> dict[str, Any]:
        """Ask that ratings be excluded; the request for approval. The same key again is the same request.

        Raises:
            LocalError: intake refuses, or stays away for longer than the patience.
        """
        return await self._json(
            "POST", "/v1/approvals/exclusions", json=body, headers={"Idempotency-Key": key}
        )

    async def approvals(self, import_id: str) -> list[dict[str, Any]]:
        """What was asked for in the course of undoing an import, newest first.

        Raises:
            LocalError: intake refuses, or stays away for longer than the patience.
        """
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            query = {"import_id": import_id, "limit": "500", **({"cursor": cursor} if cursor else {})}
            page = await self._json("GET", "/v1/approvals", params=query)
            found += page["items"]
            cursor = page.get("next")
            if cursor is None:
                return found

    async def approve(self, approval_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """Agree to what somebody else asked for.

        Raises:
            LocalError: intake refuses, or stays away for longer than the patience.
        """
        return await self._json("POST", f"/v1/approvals/{approval_id}/approve", json=body)

    async def _json(self, method: str, path: str, **parts: Any) -> dict[str, Any]:  # noqa: ANN401 - httpx's own
        answer: dict[str, Any] = (await self._request(method, path, **parts)).json()
        return answer

    async def _request(
        self,
        method: str,
        path: str,
        **parts: Any,  # noqa: ANN401 - httpx's own
    ) -> httpx.Response:
        began = time.monotonic()
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                answer = await self._http.request(method, self._url + path, **parts)
            except httpx.TransportError as error:
                trouble = f"{type(error).__name__} {error}".strip()
            else:
                if answer.is_success:
                    return answer
                if answer.status_code not in _LATER:
                    raise ServiceRefusedError(_problem(answer))
                trouble = f"{answer.status_code}"
                named = answer.headers.get("retry-after", "")
                pause_s = float(named) if named.isascii() and named.isdecimal() else pause_s
            pause_s = min(pause_s, LONGEST_PAUSE_S)
            if time.monotonic() - began + pause_s > self._patience_s:
                expected = f"an answer of intake within {self._patience_s:g} s"
                raise LocalError(
                    describe(
                        trouble, expected, "look at `pingyi status`; then repeat the command, it goes on"
                    )
                )
            self._say(f"{trouble}; {pause_s:g} s")
            await asyncio.sleep(pause_s)
            pause_s = 2 * pause_s


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if isinstance(problem, dict):
        return problem
    return {"title": answer.reason_phrase, "status": answer.status_code, "detail": answer.text[:200]}
