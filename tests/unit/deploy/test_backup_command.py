"""What the backup commands make of their arguments."""

from pathlib import Path

import pytest

from deploy.local.backup.making import COPY_ORDER
from deploy.local.commands.accepting import decision, describe_fork
from deploy.local.commands.backup import chosen_parts, find_stopped_or_running
from deploy.local.embedded.mongod_secrets import ensure_mongo_secrets, url_as
from deploy.local.errors import LocalError
from shared.messaging.streams import STREAMS

FORK = {"stream": "RANKING", "reason": "it went back", "fork": 10, "stream_last": 10, "archived_last": 30}


def test_every_stream_but_what_passes_by_itself_is_backed_up() -> None:
    passing = {"KV_leases", "KV_nonces", "KV_quotas", "TIMERS"}
    assert sorted(COPY_ORDER) == sorted(spec.name for spec in STREAMS if spec.name not in passing)


def test_parts_come_in_their_own_order_and_unknown_ones_are_named() -> None:
    assert chosen_parts(None) == ("mongodb", "streams", "secrets")
    assert chosen_parts(["secrets", "mongodb"]) == ("mongodb", "secrets")
    with pytest.raises(LocalError, match="Got 'keys', expected one of mongodb, streams, secrets"):
        chosen_parts(["keys"])


def test_a_stopped_platform_is_where_its_data_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NATS_URL", "MONGODB_URL"):
        monkeypatch.delenv(name, raising=False)
    layout, live = find_stopped_or_running(tmp_path, 9000)
    assert (layout.data, layout.port_base, live) == (tmp_path.resolve(), 9000, False)


def test_a_decision_says_what_the_archive_found_and_who_decides() -> None:
    found = {**FORK, "offset": 20}
    assert describe_fork(found)[2] == "Its next message, 11, will be archived as 31, and so on."
    made = decision(found, "platform-duty", "restored backup")
    assert (made.fork, made.offset, made.archived_last) == (10, 20, 30)
    assert (made.decided_by, made.reason) == ("platform-duty", "restored backup")


def test_an_address_gets_credentials_once_there_are_some(tmp_path: Path) -> None:
    address = "mongodb://127.0.0.1:9027/?directConnection=true"
    assert url_as(address, tmp_path, "archive") == address
    ensure_mongo_secrets(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    ensure_mongo_secrets(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    secret = before["archive-password"].decode().strip()
    expected = f"mongodb://archive:{secret}@127.0.0.1:9027/?authSource=pingyi&directConnection=true"
    assert url_as(address, tmp_path, "archive") == expected
