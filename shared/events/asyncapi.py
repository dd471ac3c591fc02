"""The AsyncAPI 3.0 document of the bus, derived from the catalogue."""

from importlib.metadata import version
from typing import Any

from shared.events.catalogue import (
    attributes_schema,
    contract_name,
    examples_of,
    producers_of,
    readers_of,
    services,
)
from shared.events.registry import EVENTS, EventSpec

ADDRESS_PARAMETERS = {
    "city": {
        "description": "GB/T 2260 prefecture, 4 digits; 'all' for the whole province.",
        "examples": ["3607", "all"],
    },
    "county": {
        "description": "GB/T 2260 county, 6 digits; 'all' for a whole city.",
        "examples": ["360702", "all"],
    },
}
INTRODUCTION = """\
Every fact of the platform as it travels over NATS JetStream: CloudEvents 1.0 in structured JSON mode.

Subjects are `<context>.v<major>.<fact>.<city>.<county>`. Contracts of one major version only grow. Readers
outside the platform may subscribe to the channels tagged `public`, and to nothing else.
"""


def asyncapi_document() -> dict[str, Any]:
    """The whole document, self-contained; the order of its keys is fixed."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:pingyi:events",
        "info": {
            "title": "Pingyi 评议 events",
            "version": version("pingyi"),
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            "tags": [{"name": name} for name in ("internal", "public")],
        },
        "defaultContentType": "application/cloudevents+json",
        "servers": {
            "local": {
                "host": "127.0.0.1:8022",
                "protocol": "nats",
                "description": "The broker of `pingyi up`. Anonymous connections may read what is public.",
            }
        },
        "channels": {contract_name(spec): _channel(spec) for spec in EVENTS},
        "operations": {operation: body for spec in EVENTS for operation, body in _operations(spec).items()},
        "components": {
            "messages": {spec.name: _message(spec) for spec in EVENTS},
            "schemas": {"CloudEvent": attributes_schema()} | _data_schemas(),
        },
    }


def _tags(spec: EventSpec) -> list[dict[str, str]]:
    return [{"name": "public" if spec.public else "internal"}]


def _summary(spec: EventSpec) -> str:
    return (spec.data.__doc__ or spec.name).strip().splitlines()[0]


def _parameters(spec: EventSpec) -> dict[str, Any]:
    key = {} if spec.key is None else {spec.key: {"description": f"The {spec.key} of the data."}}
    return ADDRESS_PARAMETERS | key


def _channel(spec: EventSpec) -> dict[str, Any]:
    return {
        "address": spec.subject_for("{city}", "{county}", f"{{{spec.key}}}"),
        "title": spec.name,
        "summary": _summary(spec),
        "description": f"Stream {spec.stream}: {spec.retention}.",
        "servers": [{"$ref": "#/servers/local"}],
        "parameters": ADDRESS_PARAMETERS
        | ({spec.key: {"description": f"The {spec.key} of the data."}} if spec.key else {}),
        "messages": {spec.name: {"$ref": f"#/components/messages/{spec.name}"}},
        "tags": _tags(spec),
    }


def _operations(spec: EventSpec) -> dict[str, Any]:
    def operation(service: str, action: str, verb: str) -> dict[str, Any]:
        name = contract_name(spec)
        return {
            "action": action,
            "channel": {"$ref": f"#/channels/{name}"},
            "title": f"{service} {verb} {spec.name}",
            "tags": [{"name": service}],
            "messages": [{"$ref": f"#/channels/{name}/messages/{spec.name}"}],
        }

    order = {name: place for place, name in enumerate(services())}
    sent = sorted(producers_of(spec), key=order.__getitem__)
    received = sorted(readers_of(spec), key=order.__getitem__)
    return {
        f"{service}.send.{contract_name(spec)}": operation(service, "send", "publishes") for service in sent
    } | {
        f"{service}.receive.{contract_name(spec)}": operation(service, "receive", "reads")
        for service in received
    }


def _message(spec: EventSpec) -> dict[str, Any]:
    return {
        "name": spec.event_type,
        "title": spec.name,
        "summary": _summary(spec),
        "contentType": "application/cloudevents+json",
        "headers": {
            "type": "object",
            "description": "Headers of the NATS message; the CloudEvents attributes are in the payload.",
            "properties": {
                "Nats-Msg-Id": {"type": "string", "description": "The event's id: repeats are dropped."}
            },
        },
        "payload": {
            "allOf": [
                {"$ref": "#/components/schemas/CloudEvent"},
                {
                    "type": "object",
                    "properties": {
                        "type": {"const": spec.event_type},
                        "dataschema": {"const": spec.dataschema},
                        "data": {"$ref": f"#/components/schemas/{spec.name}"},
                    },
                    "required": ["data"],
                },
            ]
        },
        "tags": _tags(spec),
        "examples": [{"name": name, "payload": example} for name, example in examples_of(spec).items()],
    }


def _data_schemas() -> dict[str, Any]:
    schemas: dict[str, Any] = {}
    for spec in EVENTS:
        schema = spec.data.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[spec.name] = schema
    return dict(sorted(schemas.items()))
