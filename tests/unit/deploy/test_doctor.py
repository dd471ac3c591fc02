import os
import resource
import socket
import time
from pathlib import Path

import pytest

from deploy.local import doctor
from deploy.local.doctor import (
    Level,
    check_clock,
    check_fsync,
    check_mongod_version,
    check_nats_version,
    check_open_files,
    check_ports,
    check_secrets,
    check_servers_start,
    check_time_zone,
    examine,
)
from deploy.local.embedded import free_ports
from deploy.local.layout import Layout
from deploy.local.secrets import ensure_secrets


def test_port_of_a_stranger_fails_and_names_him(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", port)):
        finding = check_ports(Layout(tmp_path, port_base=port - 1), None)
    assert finding.level is Level.FAIL
    assert f"{port} (intake)" in finding.found
    assert str(os.getpid()) in finding.found
    assert "--port-base" in finding.remedy


def test_clock_behind_the_data_fails(tmp_path: Path) -> None:
    assert check_clock(Layout(tmp_path), None).level is Level.OK
    log = tmp_path / "logs" / "intake.log"
    log.parent.mkdir()
    log.touch()
    tomorrow_s = time.time() + 86_400
    os.utime(log, (tomorrow_s, tomorrow_s))
    assert check_clock(Layout(tmp_path), None).level is Level.FAIL


def test_readable_secrets_are_warned_of(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    ensure_secrets(layout.secrets)
    assert check_secrets(layout, None).level is Level.OK
    (layout.secrets / "hmac.key").chmod(0o644)
    finding = check_secrets(layout, None)
    assert finding.level is Level.WARN
    assert "hmac.key" in finding.found


@pytest.mark.parametrize("lost", ["hmac.key", "vault.key"])
def test_data_without_the_keys_that_it_was_written_with_is_warned_of(tmp_path: Path, lost: str) -> None:
    layout = Layout(tmp_path)
    ensure_secrets(layout.secrets)
    (tmp_path / "nats" / "jetstream").mkdir(parents=True)
    assert check_secrets(layout, None).level is Level.OK
    (layout.secrets / lost).unlink()
    finding = check_secrets(layout, None)
    assert finding.level is Level.WARN
    assert f"no {lost} in" in finding.found
    assert "backup" in finding.remedy


def test_business_time_zone_is_known(tmp_path: Path) -> None:
    assert check_time_zone(Layout(tmp_path), None).level is Level.OK


def test_a_data_directory_that_cannot_be_is_a_finding_beside_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "CHECKS", (check_fsync, check_time_zone))
    disk, zone = examine(Layout(tmp_path / ("x" * 300)), None)
    assert (disk.check, disk.level, zone.level) == ("fsync", Level.FAIL, Level.OK)
    assert "--data" in disk.remedy


@pytest.mark.parametrize(
    ("allowed", "level", "found"),
    [(20_000, Level.OK, "20,000 allowed"), (100, Level.FAIL, "100 allowed, at least 512 expected")],
)
def test_open_files_are_counted_as_people_write_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int, level: Level, found: str
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (allowed, allowed))
    finding = check_open_files(Layout(tmp_path), None)
    assert (finding.level, finding.found) == (level, found)


@pytest.mark.parametrize("named", ["/nowhere/nats-server", "no-such-nats-server"])
def test_a_nats_server_that_is_none_is_no_fault_of_the_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("NATS_SERVER", named)
    monkeypatch.setattr(doctor, "CHECKS", (check_nats_version, check_servers_start))
    for finding in examine(Layout(tmp_path), None):
        assert finding.level is Level.FAIL
        assert named in finding.found
        assert "$NATS_SERVER" in finding.found
        assert "--data" not in finding.remedy


@pytest.mark.parametrize("named", ["/nowhere/mongod", "/bin/false", "/bin/true"])
def test_a_mongod_that_was_named_is_taken_or_refused_but_no_other_one_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("MONGOD", named)
    finding = check_mongod_version(Layout(tmp_path), None)
    assert finding.level is Level.FAIL
    assert f"{named}: " in finding.found
