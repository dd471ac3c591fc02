"""What is deployed agrees with the code; checked with outside tools, and without Docker."""

import importlib
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from deploy.local.embedded.nats_server import NatsLimits, find_nats_server
from deploy.local.layout import SERVICES, Layout
from deploy.secrets import write_secrets
from shared.auth.nats_permissions import MOST_READERS
from tests.npm_support import run_npm_tool
from tests.support.certificates import write_certificates

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "deploy/docker/Dockerfile"
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
LONG_RUNNING = (*SERVICES, "nats", "mongo", "prometheus")
ONE_SHOT = ("volumes", "secrets", "provision")


def _tool(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _run(*command: str, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return output


def _modules(container: dict[str, Any]) -> list[str]:
    """The Python modules that a container's command runs."""
    return re.findall(r"python -m ([\w.]+)", " ".join(container.get("command", ())))


def _volumes(container: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Source, target and the rest of each of a container's mounts."""
    for volume in container.get("volumes", ()):
        if isinstance(volume, str):
            source, target, *_ = volume.split(":")
            yield source, target, {}
        else:
            yield volume["source"], volume["target"], volume


# --- outside tools ---


def test_the_compose_linter_finds_nothing() -> None:
    done = run_npm_tool(
        "dclint", str(COMPOSE_FILE), "--config", str(ROOT / ".dclintrc"), "--max-warnings", "0"
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_compose_linter_would_object(tmp_path: Path) -> None:
    broken = tmp_path / "docker-compose.yml"
    broken.write_text("services: { a: { image: nats, prots: [] } }\n", encoding="utf-8")
    assert run_npm_tool("dclint", str(broken)).returncode != 0


def test_the_dockerfile_linter_finds_nothing() -> None:
    _run(_tool("hadolint"), str(DOCKERFILE))


@pytest.mark.parametrize("name", ["server.conf", "cluster.conf", "leaf.conf"])
def test_nats_server_accepts_its_configuration(name: str, tmp_path: Path) -> None:
    write_secrets(tmp_path / "secrets")
    (tmp_path / "auth").mkdir()
    shutil.copy(tmp_path / "secrets/nats/authorization.conf", tmp_path / "auth")
    write_certificates(tmp_path / "certs", ("ca", "server", "leaf"))
    config = shutil.copy(ROOT / "deploy/nats" / name, tmp_path)
    output = _run(
        find_nats_server(), "-t", "-c", str(config), cwd=tmp_path, env={"NATS_NODE": "pingyi-nats-1"}
    )
    assert "is valid" in output


@pytest.mark.parametrize("name", ["server.conf", "cluster.conf"])
def test_every_broker_with_streams_acknowledges_only_what_is_on_disk(name: str) -> None:
    text = (ROOT / "deploy/nats" / name).read_text(encoding="utf-8")
    assert re.search(r"^\s*sync_interval: always$", text, flags=re.MULTILINE)


def test_readers_cannot_take_every_connection() -> None:
    text = (ROOT / "deploy/nats/server.conf").read_text(encoding="utf-8")
    (most,) = re.findall(r"^max_connections: (\d+)$", text, flags=re.MULTILINE)
    assert int(most) - MOST_READERS >= 200
    assert NatsLimits().max_connections - MOST_READERS >= 200


# --- compose against the code ---


def test_compose_runs_every_service_and_what_they_need() -> None:
    assert set(CONTAINERS) == {*LONG_RUNNING, *ONE_SHOT}


@pytest.mark.parametrize("name", sorted(set(CONTAINERS) - {"volumes", "nats", "mongo", "prometheus"}))
def test_a_containers_command_runs_a_module_that_exists(name: str) -> None:
    modules = _modules(CONTAINERS[name])
    assert len(modules) == 1
    assert importlib.util.find_spec(modules[0]) is not None
    if name in SERVICES:
        assert modules == [f"services.{name}"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_services_environment_is_what_its_settings_read(name: str) -> None:
    module = importlib.import_module(f"services.{name}.settings")
    known = {
        field.upper()
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseSettings)
        for field in value.model_fields
    }
    in_command = set(re.findall(r"\b([A-Z][A-Z_]+)=", " ".join(CONTAINERS[name]["command"])))
    given = set(CONTAINERS[name]["environment"]) | in_command
    assert given - known == set()


@pytest.mark.parametrize("name", SERVICES)
def test_a_services_port_is_the_one_that_it_has_on_one_machine(name: str) -> None:
    port = str(Layout(data=Path("var")).service_port(name))
    assert CONTAINERS[name]["environment"]["HTTP_PORT"] == port
    assert CONTAINERS[name]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_the_brokers_port_is_the_one_that_it_has_on_one_machine() -> None:
    assert CONTAINERS["nats"]["ports"] == [f"127.0.0.1:{Layout(data=Path('var')).nats_port}:4222"]


def test_prometheus_scrapes_every_service_where_it_listens() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    targets = {
        target
        for job in config["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    }
    assert targets == {f"{name}:{CONTAINERS[name]['environment']['HTTP_PORT']}" for name in SERVICES}


# --- hardening ---


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_a_container_has_a_pinned_image(name: str) -> None:
    image = CONTAINERS[name]["image"]
    assert re.search(r":v?\d+\.\d+\.\d+", image), f"{image} names no exact version"


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_a_container_has_no_privileges_to_lose(name: str) -> None:
    container = CONTAINERS[name]
    assert container["cap_drop"] == ["ALL"]
    assert container["read_only"] is True
    assert container["security_opt"] == ["no-new-privileges:true"]
    root_with_one_right = name == "volumes"
    assert container["user"].split(":")[0].isdigit()
    assert (container["user"] == "0:0") is root_with_one_right
    assert container.get("cap_add", []) == (["CHOWN"] if root_with_one_right else [])


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_a_long_running_container_is_limited_restarted_and_watched(name: str) -> None:
    container = CONTAINERS[name]
    assert container["restart"] == "unless-stopped"
    assert {"cpus", "memory", "pids"} <= set(container["deploy"]["resources"]["limits"])
    watched_by_its_image = name in SERVICES and "\nHEALTHCHECK " in DOCKERFILE.read_text(encoding="utf-8")
    assert "healthcheck" in container or watched_by_its_image


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_a_container_is_reachable_from_its_own_host_only(name: str) -> None:
    assert [port for port in CONTAINERS[name].get("ports", ()) if not port.startswith("127.0.0.1:")] == []


def test_broker_and_store_networks_have_no_way_out() -> None:
    assert {name for name, network in COMPOSE["networks"].items() if network.get("internal")} == {
        "bus",
        "store",
    }
    assert {name for name, box in CONTAINERS.items() if "store" in box.get("networks", ())} == {
        "mongo",
        "provision",
        "archive",
    }


def test_mounted_files_and_volumes_exist() -> None:
    for container in CONTAINERS.values():
        for source, _, _ in _volumes(container):
            assert (ROOT / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_keeps_something_has_a_volume_to_keep_it_in(name: str) -> None:
    settings = importlib.import_module(f"services.{name}.settings").Settings
    image = re.search(r"\bDATA_DIR=(\S+)", DOCKERFILE.read_text(encoding="utf-8"))
    assert image is not None
    targets = {target for _, target, _ in _volumes(CONTAINERS[name])}
    assert (image[1] in targets) == ("data_dir" in settings.model_fields)


def test_dependencies_end_or_get_healthy_as_the_condition_says() -> None:
    for container in CONTAINERS.values():
        for needed, how in container.get("depends_on", {}).items():
            expected = "service_completed_successfully" if needed in ONE_SHOT else "service_healthy"
            assert how == {"condition": expected}


# --- secrets ---


def _secret_folders() -> dict[str, str]:
    return {
        name: mount["volume"]["subpath"]
        for name, container in CONTAINERS.items()
        for source, _, mount in _volumes(container)
        if source == "secrets" and name != "secrets"
    }


def test_a_container_sees_its_own_secrets_only() -> None:
    folders = _secret_folders()
    assert len(set(folders.values())) == len(folders)
    assert "master" not in folders.values()
    for name, container in CONTAINERS.items():
        mounts = [mount for source, _, mount in _volumes(container) if source == "secrets"]
        assert all(mount["read_only"] for mount in mounts if name != "secrets")


def test_every_secret_that_compose_names_is_made(tmp_path: Path) -> None:
    write_secrets(tmp_path)
    for name, folder in _secret_folders().items():
        named = set(re.findall(r"/run/secrets/pingyi/([\w.-]+)", yaml.safe_dump(CONTAINERS[name])))
        assert named - {path.name for path in (tmp_path / folder).iterdir()} == set()


def test_secrets_are_made_once_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    write_secrets(tmp_path)
    first = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    write_secrets(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == first
    assert {path for path in first if path.stat().st_mode & 0o077} == set()


def test_a_folder_holds_no_other_users_seed(tmp_path: Path) -> None:
    write_secrets(tmp_path)
    seeds = [path.read_text() for path in tmp_path.glob("*/nats.seed")]
    assert len(seeds) == len(set(seeds))
    assert all(len(list((tmp_path / name).glob("**/*.seed"))) == 1 for name in SERVICES)


# --- image ---


def test_the_image_installs_from_the_hashed_lock_and_runs_as_a_number() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    assert "--require-hashes" in text
    assert re.findall(r"^ARG APP_UID=(\d+)$", text, flags=re.MULTILINE) == ["10001"]
    assert re.findall(r"^USER (.+)$", text, flags=re.MULTILINE) == ["${APP_UID}:${APP_UID}"]
    assert {CONTAINERS[name]["user"] for name in SERVICES} == {"10001:10001"}


def test_the_image_takes_nothing_that_the_build_context_leaves_out() -> None:
    allowed = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    copied = re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert set(copied) == allowed
