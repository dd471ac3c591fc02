"""Committed examples: accepted by the committed schema, by the code, and by the CloudEvents spec."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from shared.events import EventSpec, InvalidEventError, parse_envelope
from shared.events.catalogue import EXAMPLES, contract_name
from shared.events.registry import EVENTS
from shared.kernel.clock import parse_rfc3339, rfc3339
from shared.kernel.ids import is_uuid
from shared.kernel.units import load_units
from tests.contract.contracts import committed_schema, each_event, each_example, example_files

REQUIRED_ATTRIBUTES = {"id", "source", "specversion", "type"}
STANDARD_ATTRIBUTES = REQUIRED_ATTRIBUTES | {"datacontenttype", "dataschema", "subject", "time", "data"}
EXTENSION_NAME = re.compile(r"[a-z0-9]{1,20}")


def validator(spec: EventSpec, suffix: str) -> jsonschema.Draft202012Validator:
    """A validator of the committed schema that checks formats too."""
    return jsonschema.Draft202012Validator(
        committed_schema(spec, suffix), format_checker=jsonschema.FormatChecker()
    )


def load(path: Path) -> dict[str, Any]:
    """An example as JSON."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


@each_example
def test_an_example_is_valid_by_the_committed_schemas(spec: EventSpec, path: Path) -> None:
    document = load(path)
    assert [error.message for error in validator(spec, ".envelope").iter_errors(document)] == []
    assert [error.message for error in validator(spec, "").iter_errors(document["data"])] == []


@each_example
def test_an_example_parses_and_comes_out_as_it_went_in(spec: EventSpec, path: Path) -> None:
    document = load(path)
    envelope = parse_envelope(spec.envelope, path.read_bytes())
    written = json.loads(envelope.to_json())
    # Written events carry defaults that the example leaves out; what the example says must all be there.
    assert _without_additions(written, document) == document
    assert parse_envelope(spec.envelope, envelope.to_json()) == envelope


def _without_additions(written: Any, original: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(original, dict):
        return {name: _without_additions(written.get(name), value) for name, value in original.items()}
    if isinstance(original, list) and len(original) == len(written):
        return [_without_additions(each, before) for each, before in zip(written, original, strict=True)]
    return written


@each_example
def test_an_example_obeys_cloudevents(spec: EventSpec, path: Path) -> None:
    document = load(path)
    assert set(document) >= REQUIRED_ATTRIBUTES
    assert document["specversion"] == "1.0"
    assert document["type"] == spec.event_type
    assert document["dataschema"] == spec.dataschema
    assert is_uuid(document["id"])
    for name in ("id", "source", "subject"):
        assert isinstance(document[name], str)
        assert document[name]
    for name in ("time", "receivedat"):
        assert rfc3339(parse_rfc3339(document[name])) == document[name], "UTC with milliseconds"
    for name in document.keys() - STANDARD_ATTRIBUTES:
        assert EXTENSION_NAME.fullmatch(name)
        assert isinstance(document[name], (str, bool, int)), "extension attributes can't be nested"


@each_event
def test_every_attribute_that_an_envelope_can_have_obeys_cloudevents(spec: EventSpec) -> None:
    schema = committed_schema(spec, ".envelope")
    for name, field in schema["properties"].items():
        if name in STANDARD_ATTRIBUTES:
            continue
        assert EXTENSION_NAME.fullmatch(name)
        kinds = {each.get("type") for each in field.get("anyOf", [field])}
        assert kinds <= {"string", "boolean", "integer", "null"}
    assert set(schema["required"]) >= REQUIRED_ATTRIBUTES


@each_example
def test_units_of_an_example_are_in_the_registry_under_that_name(spec: EventSpec, path: Path) -> None:
    del spec
    units = {unit.unit_id: unit for unit in load_units()}
    data = load(path)["data"]
    ratings = [data[name] for name in ("target", "corrected") if name in data]
    for row in (data, *ratings, *data.get("changed", ()), *data.get("items", ())):
        if "unit_id" not in row:
            continue
        unit = units[row["unit_id"]]
        assert row.get("name", row.get("unit_name", unit.name)) == unit.name
        assert row.get("city", unit.city) == unit.city
        assert row.get("county", unit.county) == unit.county
        assert row.get("level", unit.level) == unit.level


def test_every_folder_of_examples_belongs_to_a_registered_event() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    assert folders == {contract_name(spec) for spec in EVENTS}
    ids = [load(path)["id"] for _, path in example_files()]
    assert len(ids) == len(set(ids)), "no two examples are the same event"


@each_example
def test_a_reader_ignores_fields_that_later_versions_add(spec: EventSpec, path: Path) -> None:
    document = load(path)
    later = document | {"newextension": "x", "data": document["data"] | {"new_field": {"a": [1]}}}
    assert validator(spec, ".envelope").is_valid(later)
    parsed = parse_envelope(spec.envelope, json.dumps(later).encode())
    assert parsed == parse_envelope(spec.envelope, path.read_bytes())


@each_event
def test_code_and_schema_refuse_the_same_damage(spec: EventSpec) -> None:
    document = load(EXAMPLES / contract_name(spec) / "minimal.json")
    damaged = [{**document, name: None} for name in REQUIRED_ATTRIBUTES]
    damaged += [
        {key: value for key, value in document.items() if key != name} for name in REQUIRED_ATTRIBUTES
    ]
    damaged += [{**document, "time": 1795223553}, {**document, "data": []}]
    for name, value in document["data"].items():
        rest = {key: each for key, each in document["data"].items() if key != name}
        damaged.append({**document, "data": rest})
        wrong = 5 if isinstance(value, str) else "5"
        damaged.append({**document, "data": rest | {name: wrong}})
    for each in damaged:
        assert not validator(spec, ".envelope").is_valid(each)
        with pytest.raises(InvalidEventError):
            parse_envelope(spec.envelope, json.dumps(each).encode())


NUMBERS = [
    pytest.param(spec, name, id=f"{contract_name(spec)}/{name}")
    for spec in EVENTS
    for name, field in committed_schema(spec)["properties"].items()
    if {each.get("type") for each in field.get("anyOf", [field])} & {"number", "integer"}
]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize(("spec", "name"), NUMBERS)
def test_no_number_of_an_event_can_be_nan_or_infinite(spec: EventSpec, name: str, value: str) -> None:
    # A field that was added later is in an example that was added with it: committed ones stay as they are.
    documents = [load(path) for each, path in example_files() if each is spec]
    document = next((each for each in documents if name in each["data"]), None)
    assert document is not None, f"no example has {name}"
    raw = json.dumps(document | {"data": document["data"] | {name: "HERE"}}).replace('"HERE"', value)
    with pytest.raises(InvalidEventError):
        parse_envelope(spec.envelope, raw.encode())
    with pytest.raises(ValueError, match=name):
        spec.data.model_validate(document["data"] | {name: float(value)})


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
@pytest.mark.parametrize("name", ["n", "score", "good", "interval_low", "interval_high"])
def test_no_number_of_a_ranking_row_can_be_nan_or_infinite(name: str, value: str) -> None:
    spec = next(spec for spec in EVENTS if spec.name == "RankingRevised")
    raw = (EXAMPLES / contract_name(spec) / "full.json").read_text(encoding="utf-8")
    broken = re.sub(rf'"{name}": [0-9.]+', f'"{name}": {value}', raw, count=1)
    assert broken != raw
    with pytest.raises(InvalidEventError):
        parse_envelope(spec.envelope, broken.encode())
