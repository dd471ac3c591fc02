"""``pingyi approvals``: the level that a decision is made at."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.local.cli import make_app
from deploy.local.commands import approvals
from deploy.local.layout import Layout

DONE = {"approval_id": "a1", "kind": "exclusion", "stage": "granted", "size": 9}


@pytest.mark.parametrize(
    ("asked_at", "named", "decided_at"),
    [
        ("province", (), "province"),
        ("city", (), "city"),
        ("window", (), "county"),
        (None, (), "county"),
        ("county", ("--level", "city"), "city"),
    ],
)
@pytest.mark.parametrize("command", [("approve",), ("reject", "--reason", "insufficient_evidence")])
def test_who_names_no_level_decides_at_that_of_who_asked(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: tuple[str, ...],
    asked_at: str | None,
    named: tuple[str, ...],
    decided_at: str,
) -> None:
    sent: list[tuple[str, str, Any]] = []

    def call(method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        sent.append((method, url.split("/v1/")[1], body))
        return DONE if method == "POST" else {"approval_id": "a1"} | ({"level": asked_at} if asked_at else {})

    monkeypatch.setattr(approvals, "call", call)
    monkeypatch.setattr(approvals, "find_platform", lambda *_: Layout(tmp_path))
    done = CliRunner().invoke(
        make_app("approvals"), ["approvals", command[0], "a1", "--by", "other", *command[1:], *named]
    )
    assert done.exit_code == 0, done.output
    method, path, body = sent[-1]
    assert (method, path, body["level"]) == ("POST", f"approvals/a1/{command[0]}", decided_at)
