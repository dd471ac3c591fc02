"""Officers who take up cases of a running platform, and a rule pack in whose world time is short."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from shared.kernel.clock import SHANGHAI
from tests.support.platform import Platform

PACK: Final = Path("shared/rules/packs") / "2026-01.toml"
OPEN_MIN: Final = 60
"""Windows of that world are open for so long; a working day is as long."""
SHORT: Final = {"contact_wd": "0.002", "classify_wd": "0.003", "a_wd": "0.002"}
"""Seven and eleven seconds of a working day of an hour; what is of class B is for tomorrow."""
GIVE_UP_S: Final = 120.0
RETRY_S: Final = 0.2


def hurried_pack(folder: Path, now: datetime) -> Path:
    """Put the committed pack with short times into a folder; offices have just opened, on every day."""
    lines = PACK.read_text(encoding="utf-8").splitlines()
    keys = SHORT | {"weekdays": "[1, 2, 3, 4, 5, 6, 7]", "holidays": "false"}
    for number, line in enumerate(lines):
        key, _, value = line.partition(" = ")
        if key in keys:
            lines[number] = f"{key} = {keys[key]}"
        elif key == "hours" and value.startswith("["):
            lines[number] = f"hours = {_hours(now)}"
    folder.mkdir()
    (folder / "hurried.toml").write_text("\n".join(lines), encoding="utf-8")
    return folder


def _hours(now: datetime) -> str:
    opens = now.astimezone(SHANGHAI) - timedelta(minutes=2)
    start = opens.hour * 60 + opens.minute
    end = start + OPEN_MIN
    spans = [(start, end)] if end <= 24 * 60 else [(0, end - 24 * 60), (start, 24 * 60)]
    texts = [f'"{a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02}"' for a, b in spans]
    return f"[{', '.join(texts)}]"


@dataclass
class Officers:
    """Gives every other case class A, whose time is short, and the others class B; never gives up on one."""

    platform: Platform
    classified: dict[str, str] = field(default_factory=dict)

    async def run(self) -> None:
        """Take up whatever is opened, until cancelled."""
        url = self.platform.url("rectify")
        async with httpx.AsyncClient(base_url=url, timeout=10, trust_env=False) as http:
            while True:
                for case in await self._opened(http):
                    await self._classify(http, case)
                await asyncio.sleep(RETRY_S)

    async def _opened(self, http: httpx.AsyncClient) -> list[dict[str, Any]]:
        token = self.platform.proofs.token()
        answer = await self._ask(http, "GET", "/v1/cases", token, params={"status": "opened", "limit": 100})
        return [case for case in answer.json()["items"] if case["case_id"] not in self.classified]

    async def _classify(self, http: httpx.AsyncClient, case: dict[str, Any]) -> None:
        name = "B" if len(self.classified) % 2 else "A"
        token = self.platform.proofs.token("handler", "county.handler", case["county"])
        path = f"/v1/cases/{case['case_id']}/moves"
        body = {"move": "classify", "case_class": name}
        key = {"idempotency-key": f"classify-{case['case_id']}"}
        await self._ask(http, "POST", path, token, json=body, headers=key)
        self.classified[case["case_id"]] = name

    async def _ask(
        self,
        http: httpx.AsyncClient,
        method: str,
        path: str,
        token: str | None,
        **more: Any,  # noqa: ANN401 - httpx's own
    ) -> httpx.Response:
        """An answer of success, however often it takes: killed services come back, races are run again."""
        deadline_s = time.monotonic() + GIVE_UP_S
        headers = {"authorization": f"Bearer {token}"} | more.pop("headers", {})
        said: object = None
        while time.monotonic() < deadline_s:
            try:
                answer = await http.request(method, path, headers=headers, **more)
            except httpx.TransportError as error:
                said = error
            else:
                if answer.is_success:
                    return answer
                said = f"{answer.status_code} {answer.text}"
                assert answer.status_code in {409, 503}, said
            await asyncio.sleep(RETRY_S)
        raise AssertionError(f"{method} {path}: not within {GIVE_UP_S:g} s: {said}")
