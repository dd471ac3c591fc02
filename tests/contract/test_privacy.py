"""Identity never enters an event: the field names of FEEDBACK are held against a list of words (ADR 0007)."""

import re

import pytest

from shared.events import EVENTS, EventSpec
from shared.events.catalogue import contract_name
from tests.contract.contracts import committed_schema, fields

IDENTITY = re.compile(
    r"name|phone|mobile|tel|email|mail|contact|address|addr|ip|id_?(card|number|no)|identity|passport|birth"
    r"|citizen|person|applicant|rater|device|fingerprint|transaction|client|token|receipt|comment|text",
)
PSEUDONYM = re.compile(r"[a-z]+_hmac")
HARMLESS = {"has_contact", "contact_record", "by_token"}
"""Whether and where the vault holds it, never what it is; whether there was a token, never which."""
SEALED = {"text": "SealedText"}

OF_FEEDBACK = [spec for spec in EVENTS if spec.stream == "FEEDBACK"]
each_feedback_event = pytest.mark.parametrize("spec", OF_FEEDBACK, ids=contract_name)


def suspicious(name: str) -> bool:
    """Whether a field's name suggests an identity and is not a pseudonym."""
    words = name.rsplit(".", 1)[-1]
    return bool(IDENTITY.search(words)) and not PSEUDONYM.fullmatch(words) and words not in HARMLESS


@each_feedback_event
def test_no_field_of_feedback_can_hold_an_identity(spec: EventSpec) -> None:
    schema = committed_schema(spec)
    found = []
    for name, field in fields(schema):
        references = {
            each["$ref"].rsplit("/", 1)[1] for each in field.get("anyOf", [field]) if "$ref" in each
        }
        if name in SEALED and references == {SEALED[name]}:
            continue
        if name.startswith("SealedText.") and name != "SealedText.text":
            continue
        if suspicious(name):
            found.append(name)
    assert found == []


@each_feedback_event
def test_every_pseudonym_of_feedback_has_the_form_of_a_keyed_hmac(spec: EventSpec) -> None:
    for name, field in fields(committed_schema(spec)):
        if name.endswith(("_hmac", "digest")):
            texts = [each for each in field.get("anyOf", [field]) if each.get("type") == "string"]
            assert [each["pattern"] for each in texts] == [r"^[a-z0-9]{1,16}\.[0-9a-f]{32}$"]


@pytest.mark.parametrize(
    "name",
    [
        "citizen_name",
        "phone",
        "id_number",
        "idcard",
        "contact",
        "address",
        "client_ip",
        "text",
        "transaction_id",
    ],
)
def test_the_list_of_words_catches_identities(name: str) -> None:
    assert suspicious(name)


@pytest.mark.parametrize(
    "name", ["unit_id", "grade", "citizen_hmac", "has_contact", "verification", "digest", "city", "channel"]
)
def test_the_list_of_words_lets_harmless_fields_pass(name: str) -> None:
    assert not suspicious(name)
