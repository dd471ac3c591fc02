import subprocess
import sys
import tomllib
from pathlib import Path

from tests.architecture.tree import ROOT, service_names


def test_import_contracts_hold() -> None:
    tool = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([str(tool), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_layers_contract_covers_every_service() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    covered = {
        container.removeprefix("services.")
        for contract in contracts
        for container in contract.get("containers", ())
    }
    assert covered == set(service_names())
