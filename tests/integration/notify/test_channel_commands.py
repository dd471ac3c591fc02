"""`pingyi channels`, on a receiver of its own."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.local.cli import make_app
from deploy.local.demo.receiver import WebhookReceiver
from deploy.local.errors import LocalError

pytestmark = pytest.mark.integration


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of channels whose secrets are below the data directory."""
    monkeypatch.delenv("SECRETS_DIR", raising=False)
    monkeypatch.setenv("ALLOW_LOOPBACK", "true")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "p.key").write_text("ab" * 32)
    return tmp_path / "notify.toml"


def run(*arguments: str) -> str:
    done = CliRunner().invoke(make_app("channels"), ["channels", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def endpoint(url: str) -> str:
    keys = 'key_file = "p.key"\ned25519_file = "p.key"\n'
    return f'[[endpoint]]\nkind = "webhook"\nname = "p"\nurl = "{url}"\n{keys}'


def test_endpoints_are_listed_with_the_key_that_receivers_need(file: Path) -> None:
    file.write_text(endpoint("https://partner.example.org/alerts?token=x"))
    options = ("--file", str(file), "--data", str(file.parent))
    listed = json.loads(run("list", *options, "--json"))
    assert [row["address"] for row in listed] == ["console", "webhook.p"]
    assert listed[1]["public_keys"][0].startswith("whpk_")
    shown = run("list", *options)
    assert "partner.example.org" in shown
    assert "token" not in shown


def test_a_test_message_is_signed_and_its_answer_shown(file: Path) -> None:
    with WebhookReceiver(file.parent / "secrets" / "p.key") as receiver:
        file.write_text(endpoint(receiver.url))
        said = run("test", "webhook.p", "--file", str(file), "--data", str(file.parent))
        assert said.startswith("webhook.p: HTTP 20")
        assert len(receiver.inbox.ids) == 1
    with pytest.raises(LocalError, match="it may pass"):
        run("test", "webhook.p", "--file", str(file), "--data", str(file.parent))
    with pytest.raises(LocalError, match=r"webhook\.p"):
        run("test", "webhook.q", "--file", str(file), "--data", str(file.parent))
