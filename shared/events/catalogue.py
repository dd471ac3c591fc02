"""Who produces and who reads each event, and the JSON Schemas: everything that the generators derive.

Pure functions of :data:`EVENTS`, :data:`STREAMS` and :data:`CONSUMERS`.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from shared.events.base import EventData
from shared.events.envelope import Envelope
from shared.events.registry import ANY_SERVICE, EVENTS, EventSpec
from shared.messaging.streams import CONSUMERS, STREAMS, StreamSpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ARCHIVE = "archive"
EXAMPLES = Path(__file__).parent / "examples"
FULL_EXAMPLE = "full"


def contract_name(spec: EventSpec) -> str:
    """``<context>.<fact>.v<major>``: the stem of the schema's file and the folder of the examples."""
    return f"{spec.context}.{spec.fact}.v{spec.major}"


@cache
def services() -> tuple[str, ...]:
    """Every service that the catalogue or a durable consumer names, sorted."""
    named = {name for spec in EVENTS for name in (*spec.producers, *spec.consumers)}
    return tuple(sorted((named | {consumer.service for consumer in CONSUMERS}) - {ANY_SERVICE}))


def producers_of(spec: EventSpec) -> tuple[str, ...]:
    """The services that may publish ``spec``; ``any`` is spelt out."""
    return services() if spec.producers == (ANY_SERVICE,) else spec.producers


def readers_of(spec: EventSpec) -> tuple[str, ...]:
    """The services that read ``spec``: those that act on it, and the archive, which stores it."""
    stored = (ARCHIVE,) if stream_of(spec).archived else ()
    return (*spec.consumers, *stored)


def stream_of(spec: EventSpec) -> StreamSpec:
    """The stream that stores ``spec``.

    Raises:
        KeyError: the spec names a stream that is not declared.
    """
    return {stream.name: stream for stream in STREAMS}[spec.stream]


def folded_streams(service: str) -> tuple[str, ...]:
    """Streams that ``service`` reads by itself, from a position: it consumes an event without a durable."""
    durable = {
        (consumer.stream, subject)
        for consumer in CONSUMERS
        if consumer.service == service
        for subject in consumer.filters or (">",)
    }
    return tuple(
        sorted(
            {
                spec.stream
                for spec in EVENTS
                if service in spec.consumers
                and not any(
                    stream == spec.stream and subject_covers(subject, spec.pattern)
                    for stream, subject in durable
                )
            }
        )
    )


def subject_covers(wide: str, narrow: str) -> bool:
    """Whether every subject that ``narrow`` matches is matched by ``wide`` (NATS wildcards)."""
    wide_tokens, narrow_tokens = wide.split("."), narrow.split(".")
    for position, wanted in enumerate(wide_tokens):
        if wanted == ">":
            return len(narrow_tokens) > position
        if position >= len(narrow_tokens) or narrow_tokens[position] == ">":
            return False
        if wanted not in ("*", narrow_tokens[position]):
            return False
    return len(wide_tokens) == len(narrow_tokens)


class _Untitled(GenerateJsonSchema):
    """Without pydantic's titles: ``Unit Id`` says no more than ``unit_id``."""

    def field_title_should_be_set(self, schema: object) -> bool:
        del schema
        return False


def data_schema(spec: EventSpec) -> dict[str, Any]:
    """JSON Schema 2020-12 of the data; ``$id`` is the URN that ``dataschema`` carries."""
    schema = spec.data.model_json_schema(schema_generator=_Untitled)
    return {"$schema": DIALECT, "$id": spec.dataschema, **schema}


def envelope_schema(spec: EventSpec) -> dict[str, Any]:
    """JSON Schema 2020-12 of the whole message; self-contained."""
    schema = spec.envelope.model_json_schema(schema_generator=_Untitled)
    _fix_attributes(schema["properties"], spec)
    schema["title"] = f"{spec.name}Envelope"
    schema["description"] = f"{spec.name} as it travels: a CloudEvent 1.0 in structured JSON mode."
    return {"$schema": DIALECT, "$id": f"{spec.dataschema}:envelope", **schema}


def attributes_schema() -> dict[str, Any]:
    """JSON Schema of the CloudEvents attributes that every event has, without ``data``."""
    schema = Envelope[EventData].model_json_schema(schema_generator=_Untitled)
    schema.pop("$defs", None)
    schema["properties"].pop("data")
    schema["required"].remove("data")
    return schema | {"title": "CloudEvent", "description": "What the envelope of every event holds."}


def _fix_attributes(properties: dict[str, Any], spec: EventSpec) -> None:
    """State what the generic envelope leaves open: type, schema and producers of this event."""
    properties["type"] = {"const": spec.event_type, "description": properties["type"]["description"]}
    properties["dataschema"] = {
        "const": spec.dataschema,
        "description": properties["dataschema"]["description"],
    }
    if spec.producers != (ANY_SERVICE,):
        properties["source"] = {
            "enum": [f"/pingyi/{name}" for name in spec.producers],
            "description": properties["source"]["description"],
        }


def examples_of(spec: EventSpec, folder: Path = EXAMPLES) -> dict[str, dict[str, Any]]:
    """The committed examples by file stem, the full one first; empty if there is no folder."""
    files = sorted(
        (folder / contract_name(spec)).glob("*.json"), key=lambda file: (file.stem != FULL_EXAMPLE, file.stem)
    )
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}
