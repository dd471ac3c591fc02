"""What the documents name is there: settings, metrics, and examples of files that an operator would copy."""

import importlib
import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Final

import pytest
from prometheus_client import CollectorRegistry
from pydantic_settings import BaseSettings

from deploy.local.layout import SERVICES
from deploy.provision import ProvisionSettings
from services.archive.metrics import ArchiveMetrics
from services.intake.adapters.people_metrics import PeopleMetrics
from services.intake.adapters.screening_metrics import PrometheusScreening
from services.intake.metrics import IntakeMetrics
from services.notify.adapters.recipients_file import read_recipients
from services.notify.metrics import NotifyMetrics
from services.rectify.metrics import RectifyMetrics
from services.scoring.metrics import CaseMetrics, ScoringMetrics, WatchMetrics
from shared.kernel.units import load_units
from shared.messaging.streams import STREAMS
from shared.observability.metrics import ServiceMetrics
from shared.rules import load_pack

ROOT = Path(__file__).parents[2]
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
PAGES = [
    *(path for path in sorted((ROOT / "docs").glob("*.md")) if path.name != "events.md"),
    *sorted((ROOT / "services").glob("*/README.md")),
    ROOT / "README.md",
]
DAY: Final = date(2026, 11, 28)
ELSEWHERE: Final = {
    "NATS_SERVER", "MONGOD", "PINGYI_KEY", "PINGYI_TOKEN", *(f"{name.upper()}_URL" for name in SERVICES),
}  # fmt: skip
"""Variables that the command line of one machine reads, and no service's settings."""
OF_SERIES = re.compile(r"_(total|bucket|count|sum|created)$")


def _settings(name: str) -> set[str]:
    module = importlib.import_module(f"services.{name}.settings")
    kind: type[BaseSettings] = module.Settings
    return {field.upper() for field in kind.model_fields}


def _environment_table() -> dict[str, str]:
    """Variables of the table in the section Environment, and who reads each, as one text."""
    section = OPERATIONS.split("\n## Environment\n")[1].split("\n## ")[0]
    found: dict[str, str] = {}
    for row in re.findall(r"^\| (`[A-Z].*?) \| (.*?) \|", section, re.MULTILINE):
        for variable in re.findall(r"`([A-Z_]+)`", row[0]):
            found[variable] = f"{found.get(variable, '')} {row[1]}"
    return found


@pytest.mark.parametrize("name", SERVICES)
def test_the_table_of_the_environment_names_every_setting_and_whose_it_is(name: str) -> None:
    table = _environment_table()
    missing = {
        variable
        for variable in _settings(name)
        if not re.search(rf"\b({name}|services|all)\b", table.get(variable, ""))
    }
    assert missing == set()


def test_every_variable_of_that_table_is_read() -> None:
    read = {field.upper() for field in ProvisionSettings.model_fields} | ELSEWHERE
    for name in SERVICES:
        read |= _settings(name)
    assert set(_environment_table()) - read == set()


def test_the_table_of_streams_names_every_stream() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    section = page.split("\n## The streams\n")[1].split("\n## ")[0]
    named = ", ".join(re.findall(r"^\| ([A-Z][\w, ]+?) \|", section, re.MULTILINE)).split(", ")
    assert sorted({*named} - {"Stream"}) == sorted(spec.name for spec in STREAMS)


def test_every_lock_file_is_in_the_table_of_dependencies() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    locks = sorted(path.name for path in (ROOT / "requirements").glob("*.txt"))
    assert [name for name in locks if f"| `requirements/{name}` |" not in page] == []


def test_every_metric_that_a_page_names_exists() -> None:
    registry = CollectorRegistry()
    made = {
        "intake": (IntakeMetrics, PeopleMetrics, PrometheusScreening),
        "archive": (ArchiveMetrics,),
        "scoring": (ScoringMetrics, CaseMetrics, WatchMetrics),
    }
    for service, kinds in made.items():
        metrics = ServiceMetrics(service, registry)
        for kind in kinds:
            kind(metrics)
    NotifyMetrics(registry)
    RectifyMetrics(registry)
    known = {family.name for family in registry.collect()}
    named = {
        (path.name, metric)
        for path in PAGES
        for metric in re.findall(r"pingyi_[a-z]+_[a-z0-9_]*[a-z0-9]", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 30
    assert {(page, metric) for page, metric in named if OF_SERIES.sub("", metric) not in known} == set()


def test_the_example_of_a_file_of_recipients_can_be_used_as_it_stands(tmp_path: Path) -> None:
    (example,) = re.findall(
        r"^```toml\n(operators.*?)^```",
        (ROOT / "docs/alerts.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    (tmp_path / "recipients.toml").write_text(example, encoding="utf-8")
    assert set(tomllib.loads(example)) == {
        "operators",
        "recipients",
        "chains",
        "supervisors",
        "subscriptions",
    }
    read_recipients(tmp_path / "recipients.toml", load_units(), load_pack(None, DAY).kinds)
