"""What the code imports is what the lock files install where that code runs."""

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, python_modules

OURS = {"services", "shared", "deploy", "tests"}
# Run by developers only: the generator of the committed registry, and shared test suites.
DEVELOPMENT = ("deploy/registry/", "shared/testing/")
# Run on one machine: may use the embedded servers, and real ratings where they were asked for.
ONE_MACHINE = ("deploy/local/",)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _locked(name: str) -> set[str]:
    lines = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8").splitlines()
    return {_normal(line.split("==")[0]) for line in lines if "==" in line}


def _imported(path: Path) -> Iterator[str]:
    """Top-level names of the third-party packages that a module imports anywhere."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        for name in names:
            top = name.split(".")[0]
            if top not in OURS and top not in sys.stdlib_module_names:
                yield top


def _lock_for(name: str) -> str | None:
    if name.startswith("tests/") or name.startswith(DEVELOPMENT):
        return None
    return "real" if name.startswith(ONE_MACHINE) else "runtime"


@pytest.mark.parametrize("lock", ["runtime", "real"])
def test_the_lock_installs_what_the_code_that_runs_from_it_imports(lock: str) -> None:
    providers = packages_distributions()
    locked = _locked(lock)
    missing = [
        f"{name}: {package}"
        for path in python_modules()
        if _lock_for(name := str(path.relative_to(ROOT))) == lock
        for package in sorted(set(_imported(path)))
        if not {_normal(found) for found in providers.get(package, [package])} & locked
    ]
    assert missing == []
