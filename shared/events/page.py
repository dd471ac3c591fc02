"""``docs/events.md``: the catalogue for people, derived from the registry and the examples."""

import json
from typing import Any

from shared.events.catalogue import (
    attributes_schema,
    contract_name,
    data_schema,
    examples_of,
    producers_of,
    readers_of,
)
from shared.events.registry import ANY_SERVICE, EVENTS, EventSpec

HEADING = """\
# Events

Generated from `shared/events` by `make docs`; change the models, not this page. Machine-readable:
[asyncapi.json](asyncapi.json) (AsyncAPI 3.0) and
[shared/events/schemas](../shared/events/schemas) (JSON Schema 2020-12).

Every event is a CloudEvent 1.0 in structured JSON mode on the subject
`<context>.v<major>.<fact>.<city>.<county>`: the prefecture's 4 digits and the county's 6 digits of GB/T 2260,
`all` where an event concerns the whole city or province. Within a major version contracts only grow: readers
ignore fields that they don't know. Optional fields without a value are left out. *Public* events may be
subscribed by anybody, the others by the platform's own services only.
"""


def events_page() -> str:
    """The page's Markdown, ending with one newline."""
    overview = [
        "| Event | Subject | Stream | Producer | Consumers | Public |",
        "|---|---|---|---|---|---|",
        *(
            f"| [{spec.name}](#{spec.name.lower()}) | `{_subject(spec)}` "
            f"| {spec.stream} | {_producers(spec)} | {', '.join(readers_of(spec))} "
            f"| {'yes' if spec.public else 'no'} |"
            for spec in EVENTS
        ),
    ]
    told: set[str] = set()
    parts = [
        HEADING,
        "\n".join(overview) + "\n",
        "## Envelope\n\nThe attributes around every event's `data`.\n",
        "\n".join(_field_table(attributes_schema(), {})) + "\n",
        *(_section(spec, told) for spec in EVENTS),
    ]
    return "\n".join(parts)


def _subject(spec: EventSpec) -> str:
    return spec.subject_for("<city>", "<county>", f"<{spec.key}>")


def _producers(spec: EventSpec) -> str:
    return "every service" if spec.producers == (ANY_SERVICE,) else ", ".join(producers_of(spec))


def _section(spec: EventSpec, told: set[str]) -> str:
    """One event; parts that many events share are told once, with the first."""
    schema = data_schema(spec)
    definitions = schema.get("$defs", {})
    nested = {name: each for name, each in definitions.items() if "properties" in each}
    name, folder = contract_name(spec), "../shared/events/schemas"
    lines = [
        f"## {spec.name}",
        "",
        _paragraphs(spec.data.__doc__ or ""),
        "",
        f"- Type `{spec.event_type}`",
        f"- Schema [`{spec.dataschema}`]({folder}/{name}.json), [envelope]({folder}/{name}.envelope.json)",
        f"- Subject `{spec.pattern}`, stream {spec.stream}: {spec.retention}",
        f"- Producer: {_producers(spec)}",
        f"- Consumers: {', '.join(readers_of(spec))}; {'public' if spec.public else 'not public'}",
        "",
        *_field_table(schema, definitions),
    ]
    shared = [title for title in nested if title in told and title.startswith("Case")]
    if shared:
        lines += ["", f"{', '.join(f'`{title}`' for title in shared)}: see [CaseOpened](#caseopened)."]
    for title, each in nested.items():
        if title in shared:
            continue
        told.add(title)
        lines += ["", f"**{title}**: {_one_line(each.get('description', ''))}", ""]
        lines += _field_table(each, definitions)
    example = next(iter(examples_of(spec).values()), None)
    if example is not None:
        lines += ["", "```json", json.dumps(example, ensure_ascii=False, indent=2), "```"]
    return "\n".join(lines) + "\n"


def _paragraphs(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines()).replace("``", "`")


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|").replace("<", "&lt;")


def _field_table(schema: dict[str, Any], definitions: dict[str, Any]) -> list[str]:
    required = schema.get("required", [])
    return [
        "| Field | Type | Required | Meaning |",
        "|---|---|---|---|",
        *(
            f"| `{name}` | {_type(field, definitions)} | {'yes' if name in required else 'no'} "
            f"| {_one_line(field.get('description', ''))} |"
            for name, field in schema["properties"].items()
        ),
    ]


def _type(field: dict[str, Any], definitions: dict[str, Any]) -> str:  # noqa: PLR0911 - one line for each form
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[1]
        target = definitions[name]
        return name if "properties" in target else _type(target, definitions)
    if "anyOf" in field:
        return " or ".join(_type(each, definitions) for each in field["anyOf"] if each.get("type") != "null")
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return "one of " + ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "array":
        return f"list of {_type(field['items'], definitions)}"
    if field.get("type") == "object" and isinstance(field.get("additionalProperties"), dict):
        return f"map of text to {_type(field['additionalProperties'], definitions)}"
    return _scalar(field)


def _scalar(field: dict[str, Any]) -> str:
    words = str(
        field.get("format") or {"string": "text", "number": "decimal"}.get(field["type"], field["type"])
    )
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None or high is not None:
        words += f" {low if low is not None else ''}–{high}" if high is not None else f" ≥ {low}"
    if "pattern" in field:
        escaped = field["pattern"].replace("|", "\\|")
        words += f" `{escaped}`"
    elif "maxLength" in field:
        words += f", ≤ {field['maxLength']} characters"
    return words
