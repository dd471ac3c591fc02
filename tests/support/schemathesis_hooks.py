"""What `schemathesis` has to be told about us; it loads this file by itself, in a process of its own.

Left to itself it asks for ids that do not exist and learns how we say 404. `KNOWN` names some that do, by
the parameter's or field's name; two of three generated requests get them.
"""

import json
import os
import zlib
from typing import Any

import schemathesis

KNOWN: dict[str, str] = json.loads(os.environ.get("PINGYI_KNOWN", "{}"))
ENDLESS = "/stream"
"""An answer without an end; unknown lists are enough there."""


@schemathesis.serializer("application/x-ndjson")
def ndjson(_context: Any, value: Any) -> bytes:  # noqa: ANN401 - any JSON
    """A batch: text as it is, all else as a line."""
    return (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "replace")


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:  # noqa: ANN401 - schemathesis's own
    """Known ids in place of generated ones."""
    return path_parameters if context.operation.path.endswith(ENDLESS) else _known(path_parameters)


@schemathesis.hook
def map_query(_context: Any, query: Any) -> Any:  # noqa: ANN401 - schemathesis's own
    """Known ids in place of generated ones."""
    return _known(query)


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:  # noqa: ANN401 - schemathesis's own
    """Known ids in place of generated ones."""
    return _known(body)


def _known(generated: Any) -> Any:  # noqa: ANN401 - any JSON
    if not isinstance(generated, dict):
        return generated
    # By content, so that a run can be repeated.
    if zlib.crc32(repr(sorted(generated.items(), key=repr)).encode("utf-8", "replace")) % 3 == 0:
        return generated
    return {name: KNOWN.get(name, value) for name, value in generated.items()}
