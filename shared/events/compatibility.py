"""Which changes of a JSON Schema break somebody: pure functions over two schema documents.

A schema may only grow (ADR 0002): streams and archive keep events of years, and readers that we don't know
were built against yesterday's contract. Old events must stay readable by new code, and what old code relies
on must stay there. A wider enum is additive: readers are released before producers.
"""

from collections.abc import Mapping
from typing import Any

JsonSchema = Mapping[str, Any]

MISSING = "nothing"
_LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_EXACT = ("pattern", "format", "const", "multipleOf", "uniqueItems", "contentEncoding")


def breaking_changes(old: JsonSchema, new: JsonSchema) -> list[str]:
    """Every change from ``old`` to ``new`` that is not additive, one sentence each; empty when there is none.

    A sentence names the field, the old state, the new state and the remedy. Texts (title, description,
    examples) never break. Both documents must be self-contained: ``$ref`` into their own ``$defs`` only.
    """
    found: list[str] = []
    _compare(_Side(old, old), _Side(new, new), "", found)
    return found


class _Side:
    """A place in one document; follows references within that document."""

    def __init__(self, document: JsonSchema, schema: JsonSchema) -> None:
        self.document = document
        while "$ref" in schema:
            schema = document["$defs"][schema["$ref"].rsplit("/", 1)[1]]
        self.schema = schema

    def at(self, schema: JsonSchema) -> "_Side":
        return _Side(self.document, schema)

    @property
    def alternatives(self) -> dict[str, "_Side"]:
        """The alternatives by type: ``anyOf [integer, null]`` gives ``integer`` and ``null``."""
        if "anyOf" in self.schema:
            sides = [self.at(each) for each in self.schema["anyOf"]]
            return {name: side for each in sides for name, side in each.alternatives.items()}
        types = self.schema.get("type", "object" if "properties" in self.schema else "anything")
        return dict.fromkeys([types] if isinstance(types, str) else types, self)


def _compare(old: _Side, new: _Side, path: str, found: list[str]) -> None:
    before, after = old.alternatives, new.alternatives
    if set(before) != set(after):
        _report(found, path, "had type", " or ".join(sorted(before)), " or ".join(sorted(after)))
    _compare_default(old.schema, new.schema, path, found)
    for name in sorted(set(before) & set(after)):
        _compare_values(before[name].schema, after[name].schema, path, found)
        _compare_objects(before[name], after[name], path, found)
        for keyword, suffix in (("items", "[]"), ("additionalProperties", ".*")):
            _compare_inner(before[name], after[name], keyword, path + suffix, found)


def _compare_default(old: JsonSchema, new: JsonSchema, path: str, found: list[str]) -> None:
    # Optional fields are left out on the wire, so their default is part of what an old event says.
    if "default" in old and "default" in new and old["default"] != new["default"]:
        _report(found, path, "meant, when absent,", old["default"], new["default"])


def _compare_values(old: JsonSchema, new: JsonSchema, path: str, found: list[str]) -> None:
    if "enum" in new:
        if "enum" not in old:
            _report(found, path, "took any value", MISSING, f"only {new['enum']}")
        elif lost := [value for value in old["enum"] if value not in new["enum"]]:
            _report(found, path, f"took {lost}", old["enum"], new["enum"])
    for keywords, is_tighter in ((_LOWER_BOUNDS, _raised), (_UPPER_BOUNDS, _lowered)):
        for keyword in keywords:
            if keyword in new and (keyword not in old or is_tighter(old[keyword], new[keyword])):
                _report(found, path, f"had {keyword}", old.get(keyword, MISSING), new[keyword])
    for keyword in _EXACT:
        if keyword in new and old.get(keyword) != new[keyword]:
            _report(found, path, f"had {keyword}", old.get(keyword, MISSING), new[keyword])


def _raised(old: float, new: float) -> bool:
    return new > old


def _lowered(old: float, new: float) -> bool:
    return new < old


def _compare_objects(old: _Side, new: _Side, path: str, found: list[str]) -> None:
    before: JsonSchema = old.schema.get("properties", {})
    after: JsonSchema = new.schema.get("properties", {})
    required_before, required_after = set(old.schema.get("required", ())), set(new.schema.get("required", ()))
    for name, schema in before.items():
        field = f"{path}.{name}" if path else name
        if name not in after:
            _report(found, field, "was there", "a field", "removed or renamed")
            continue
        if (name in required_before) != (name in required_after):
            words = ("required", "optional") if name in required_before else ("optional", "required")
            _report(found, field, "was", *words)
        _compare(old.at(schema), new.at(after[name]), field, found)
    for name in after.keys() - before.keys():
        if name in required_after:
            field = f"{path}.{name}" if path else name
            _report(found, field, "was not there", MISSING, "a new required field")


def _compare_inner(old: _Side, new: _Side, keyword: str, path: str, found: list[str]) -> None:
    before, after = old.schema.get(keyword, True), new.schema.get(keyword, True)
    if before == after:
        return
    if after is True:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        _compare(old.at(before), new.at(after), path, found)
        return
    _report(found, path, f"had {keyword}", before, after)


def _report(found: list[str], path: str, what: str, old: object, new: object) -> None:
    found.append(
        f"{path or 'the document'}: {what}: before {old}, now {new}; "
        "keep the old contract and register the change as the next major version."
    )
