"""Which form of an answer a client gets."""

import pytest

from shared.observability.negotiation import preferred

JSON, CSV, NDJSON = "application/json", "text/csv", "application/x-ndjson"


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("text/*", JSON),
        ("text/csv", CSV),
        ("Text/CSV; q=0.2, */*", CSV),
        ("application/json, text/csv;q=0.5", JSON),
        ("text/csv, application/json;q=0.5", CSV),
        ("application/x-ndjson, application/json", NDJSON),
        ("text/csv;q=0", JSON),
        ("text/csv;q=x", JSON),
    ],
)
def test_the_usual_form_is_sent_unless_another_is_named_and_wanted_as_much(accept: str, form: str) -> None:
    assert preferred(accept, JSON, [CSV, NDJSON]) == form
