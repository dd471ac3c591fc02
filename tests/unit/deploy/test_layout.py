from pathlib import Path

import pytest

from deploy.local.errors import LocalError
from deploy.local.layout import SERVICES, Layout


def test_ports_follow_from_the_base() -> None:
    layout = Layout(Path("/data"), port_base=9000)
    assert [layout.service_port(name) for name in SERVICES] == [9001, 9002, 9003, 9004, 9005]
    assert (layout.nats_port, layout.nats_monitor_port, layout.mongo_port) == (9022, 9023, 9027)
    assert len(layout.ports()) == 8


def test_service_learns_everything_from_its_environment() -> None:
    assert Layout(Path("/data")).env_for("intake") == {
        "NATS_URL": "nats://127.0.0.1:8022",
        "MONGODB_URL": "mongodb://127.0.0.1:8027/?directConnection=true",
        "NATS_NKEY_SEED_FILE": "/data/secrets/nats/intake.seed",
        "SECRETS_DIR": "/data/secrets",
        "DATA_DIR": "/data/intake",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": "8001",
        "AUTH_DIR": "/data/secrets/auth",
    }


def test_every_service_learns_where_credentials_are_kept_even_without_a_loaded_table() -> None:
    layout = Layout(Path("/data"))
    assert {layout.env_for(service)["AUTH_DIR"] for service in SERVICES} == {"/data/secrets/auth"}


def test_external_servers_bring_their_own_credentials() -> None:
    environ = {"NATS_URL": "nats://n:4222", "MONGODB_URL": "mongodb://m:27017"}
    layout = Layout.from_environment(Path("/data"), 8000, environ)
    layout.require_startable()
    assert layout.external
    assert set(layout.ports()) == {8001, 8002, 8003, 8004, 8005}
    assert layout.env_for("intake")["NATS_URL"] == "nats://n:4222"
    assert "NATS_NKEY_SEED_FILE" not in layout.env_for("intake")


@pytest.mark.parametrize("name", ["NATS_URL", "MONGODB_URL"])
def test_half_a_platform_cannot_be_external(name: str) -> None:
    layout = Layout.from_environment(Path("/data"), 8000, {name: "x://y"})
    with pytest.raises(LocalError, match=f"only {name}.*set or unset both"):
        layout.require_startable()


def test_service_address_from_the_environment_wins() -> None:
    layout = Layout.from_environment(Path("/data"), 8000, {"SCORING_URL": "https://scoring.example/"})
    assert layout.service_url("scoring") == "https://scoring.example"
    assert layout.service_url("intake") == "http://127.0.0.1:8001"


def test_platform_started_here_ignores_addresses_of_services_elsewhere() -> None:
    layout = Layout.from_environment(Path("/data"), 8000, {"SCORING_URL": "https://scoring.example/"})
    assert layout.here().service_url("scoring") == "http://127.0.0.1:8002"


@pytest.mark.parametrize("port_base", [0, 80, 65_500])
def test_port_base_that_leaves_no_room_is_refused(port_base: int) -> None:
    with pytest.raises(LocalError, match=f"Got {port_base}"):
        Layout(Path("/data"), port_base=port_base)
