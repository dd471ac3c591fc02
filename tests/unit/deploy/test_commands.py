import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.local.commands.options import find_platform
from deploy.local.commands.up import chosen_services
from deploy.local.errors import LocalError, NoPlatformError, PlatformRunningError
from deploy.local.layout import Layout
from deploy.local.platform_file import ChildRecord, PlatformRecord, hold, read_running, write_record


def record_of(layout: Layout) -> PlatformRecord:
    return PlatformRecord.of(
        layout,
        state="ready",
        version="1.2.3",
        started_at=datetime(2026, 3, 1, tzinfo=UTC),
        services=("intake", "scoring"),
        children={"intake": ChildRecord(pid=1, restarts=0)},
    )


def test_running_platform_is_found_by_its_data_directory(tmp_path: Path) -> None:
    write_record(tmp_path / "platform.json", record_of(Layout(tmp_path, port_base=9500)))
    found = find_platform(tmp_path, environ={})
    assert found.port_base == 9500
    assert found.service_url("scoring") == "http://127.0.0.1:9502"
    assert not found.external


def test_platform_file_is_private_since_addresses_may_carry_credentials(tmp_path: Path) -> None:
    write_record(tmp_path / "platform.json", record_of(Layout(tmp_path)))
    assert (tmp_path / "platform.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["platform.json"]


@pytest.mark.parametrize("change", [{"pid": 2**22 - 1}, {"create_time": 1.0}])
def test_record_of_a_killed_supervisor_counts_as_absent(tmp_path: Path, change: dict[str, float]) -> None:
    stale = record_of(Layout(tmp_path)).model_copy(update=change)
    write_record(tmp_path / "platform.json", stale)
    assert read_running(tmp_path / "platform.json") is None
    with pytest.raises(NoPlatformError, match="pingyi up"):
        find_platform(tmp_path, environ={})


def test_unreadable_record_counts_as_absent(tmp_path: Path) -> None:
    (tmp_path / "platform.json").write_text('{"pid": 1')
    assert read_running(tmp_path / "platform.json") is None


def test_addresses_in_the_environment_override_the_running_platform(tmp_path: Path) -> None:
    write_record(tmp_path / "platform.json", record_of(Layout(tmp_path)))
    found = find_platform(tmp_path, environ={"NATS_URL": "nats://n:1", "SCORING_URL": "http://s:2"})
    assert found.nats_url == "nats://n:1"
    assert found.service_url("scoring") == "http://s:2"
    assert found.service_url("intake") == "http://127.0.0.1:8001"


def test_addresses_or_ports_suffice_without_a_record(tmp_path: Path) -> None:
    assert find_platform(tmp_path, environ={"INTAKE_URL": "http://i:1"}).service_url("intake") == "http://i:1"
    assert find_platform(tmp_path, 9900, environ={}).nats_url == "nats://127.0.0.1:9922"


def test_second_supervisor_is_refused_and_the_first_one_named(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with hold(layout):
        write_record(layout.platform_file, record_of(layout))
        with pytest.raises(PlatformRunningError, match=rf"pid {os.getpid()} .*pingyi down"), hold(layout):
            pytest.fail("held twice")
        assert layout.platform_file.exists()
    assert not layout.platform_file.exists()


def test_stale_record_is_removed_by_the_next_supervisor(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_record(layout.platform_file, record_of(layout).model_copy(update={"create_time": 1.0}))
    with hold(layout):
        assert not layout.platform_file.exists()


def test_only_keeps_the_order_of_the_data_flow() -> None:
    assert chosen_services(["archive", "intake", "archive"]) == ("intake", "archive")
    assert chosen_services(None) == ("intake", "scoring", "notify", "archive", "rectify")


def test_only_refuses_an_unknown_service() -> None:
    with pytest.raises(LocalError, match="'scorring', expected one of intake, scoring"):
        chosen_services(["scorring"])
