"""Valid events of the stream REGISTRY: the committed full example of a kind, with other fields where told."""

import json
from typing import Any, TypeVar

from shared.events import EventData, spec_for_data
from shared.events.catalogue import EXAMPLES, FULL_EXAMPLE, contract_name

D = TypeVar("D", bound=EventData)


def example_of(kind: type[D], **fields: Any) -> D:  # noqa: ANN401 - whatever the model takes
    """The data of the full example of `kind`; `fields` replace some of it."""
    path = EXAMPLES / contract_name(spec_for_data(kind)) / f"{FULL_EXAMPLE}.json"
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["data"]
    return kind.model_validate(data | fields)
