"""Whoever knows one service knows all of them (ADR: skeleton)."""

import ast

import pytest

from tests.architecture.tree import ROOT, service_names

SKELETON = (
    "README.md",
    "__init__.py",
    "__main__.py",
    "adapters/__init__.py",
    "application/__init__.py",
    "application/handlers.py",
    "application/ports.py",
    "bootstrap.py",
    "domain/__init__.py",
    "entrypoints/__init__.py",
    "entrypoints/events.py",
    "entrypoints/http.py",
    "metrics.py",
    "settings.py",
)
TOP_LEVEL = {name.split("/")[0] for name in SKELETON} | {"__pycache__", "composition"}
"""Parts of a composition root that one module can't hold any more stand in ``composition/``."""


def test_the_services_of_the_first_release_are_there() -> None:
    assert {"intake", "scoring", "notify", "archive", "rectify"} <= set(service_names())


@pytest.mark.parametrize("service", service_names())
def test_a_service_has_every_part_of_the_skeleton(service: str) -> None:
    folder = ROOT / "services" / service
    assert [name for name in SKELETON if not (folder / name).is_file()] == []


@pytest.mark.parametrize("service", service_names())
def test_a_service_has_nothing_beside_the_skeleton(service: str) -> None:
    folder = ROOT / "services" / service
    assert {path.name for path in folder.iterdir()} - TOP_LEVEL == set()


@pytest.mark.parametrize("service", service_names())
def test_a_readme_states_the_contract_of_its_service(service: str) -> None:
    text = (ROOT / "services" / service / "README.md").read_text().lower()
    assert [word for word in ("consumes", "publishes", "state", "fail") if word not in text] == []


@pytest.mark.parametrize("service", service_names())
def test_ports_are_protocols_only(service: str) -> None:
    tree = ast.parse((ROOT / "services" / service / "application" / "ports.py").read_text())
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    protocols = [node for node in classes if any("Protocol" in ast.unparse(base) for base in node.bases)]
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert protocols, "ports.py declares no Protocol"
    assert functions == [], "a port is a role, not code"
