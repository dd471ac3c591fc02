import pytest

from shared.events import EVENTS, EventSpec
from shared.events.catalogue import data_schema, envelope_schema
from shared.events.compatibility import breaking_changes


def field(**schema: object) -> dict[str, object]:
    """A document with the one field ``f``."""
    return {"type": "object", "properties": {"f": schema}}


@pytest.mark.parametrize("spec", EVENTS, ids=lambda spec: spec.name)
def test_a_schema_is_compatible_with_itself(spec: EventSpec) -> None:
    assert breaking_changes(data_schema(spec), data_schema(spec)) == []
    assert breaking_changes(envelope_schema(spec), envelope_schema(spec)) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ({"type": "string"}, {"type": "string", "enum": ["a"]}, "f: took any value"),
        ({"type": "string"}, {"type": "string", "pattern": "^a$"}, "f: had pattern: before nothing"),
        ({"type": "string"}, {"type": "string", "format": "date"}, "f: had format"),
        ({"const": 1}, {"const": 2}, "f: had const: before 1, now 2"),
        ({"type": "string", "minLength": 1}, {"type": "string", "minLength": 2}, "f: had minLength"),
        (
            {"type": "number", "exclusiveMaximum": 5},
            {"type": "number", "exclusiveMaximum": 4},
            "exclusiveMax",
        ),
        (
            {"type": "array", "items": {"type": "string"}},
            {"type": "array", "items": {"type": "integer"}},
            "f[]: had type: before string, now integer",
        ),
        (
            {"type": "object", "additionalProperties": {"type": "integer"}},
            {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}},
            "f.*: had minimum",
        ),
        ({"type": "object"}, {"type": "object", "additionalProperties": False}, "f.*: had additionalProp"),
        (
            {"anyOf": [{"type": "integer", "maximum": 9}, {"type": "null"}]},
            {"anyOf": [{"type": "integer", "maximum": 8}, {"type": "null"}]},
            "f: had maximum: before 9, now 8",
        ),
    ],
)
def test_a_narrower_field_is_told_with_old_new_and_remedy(
    old: dict[str, object], new: dict[str, object], told: str
) -> None:
    (sentence,) = breaking_changes(field(**old), field(**new))
    assert told in sentence
    assert sentence.endswith("register the change as the next major version.")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"type": "string", "maxLength": 5}, {"type": "string", "maxLength": 6}),
        ({"type": "string", "pattern": "^a$"}, {"type": "string"}),
        ({"type": "string", "enum": ["a"]}, {"type": "string", "enum": ["a", "b"]}),
        ({"type": "string", "description": "a"}, {"type": "string", "description": "b", "title": "T"}),
        ({"type": "object", "additionalProperties": False}, {"type": "object"}),
    ],
)
def test_a_wider_field_breaks_nobody(old: dict[str, object], new: dict[str, object]) -> None:
    assert breaking_changes(field(**old), field(**new)) == []


def test_references_are_followed_on_both_sides_whatever_the_definitions_are_called() -> None:
    old = field(**{"$ref": "#/$defs/A"}) | {"$defs": {"A": {"type": "string", "enum": ["x", "y"]}}}
    same = field(**{"$ref": "#/$defs/B"}) | {"$defs": {"B": {"type": "string", "enum": ["y", "x"]}}}
    less = field(**{"$ref": "#/$defs/B"}) | {"$defs": {"B": {"type": "string", "enum": ["x"]}}}
    assert breaking_changes(old, same) == []
    (sentence,) = breaking_changes(old, less)
    assert sentence.startswith("f: took ['y']: before ['x', 'y'], now ['x']; ")
