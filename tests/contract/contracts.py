"""What the contract tests iterate over: events, their examples, and every field of a schema."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.events.catalogue import EXAMPLES, contract_name
from shared.events.generate import ROOT, SCHEMAS
from shared.events.registry import EVENTS, EventSpec

each_event = pytest.mark.parametrize("spec", EVENTS, ids=contract_name)


def example_files() -> list[tuple[EventSpec, Path]]:
    """Every committed example with the event that its folder names."""
    return [
        (spec, path) for spec in EVENTS for path in sorted((EXAMPLES / contract_name(spec)).glob("*.json"))
    ]


each_example = pytest.mark.parametrize(
    ("spec", "path"), [pytest.param(s, p, id=f"{contract_name(s)}/{p.stem}") for s, p in example_files()]
)


def committed_schema(spec: EventSpec, suffix: str = "") -> dict[str, Any]:
    """The schema as it is in the repository; ``suffix`` is '' or '.envelope'."""
    text = (ROOT / SCHEMAS / f"{contract_name(spec)}{suffix}.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def fields(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field with its path, those of nested models too (``SealedText.nonce``)."""
    for title, model in {"": schema, **schema.get("$defs", {})}.items():
        for name, field in model.get("properties", {}).items():
            yield (f"{title}.{name}" if title else name), field
