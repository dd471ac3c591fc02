"""The stand-alone verifier makes of every event the leaf that the archive makes of it.

Two programs that share no code read the same bytes: whatever one reads otherwise is a finding in a log that
nobody touched.
"""

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deploy.audit.verify_export import Verifier
from services.archive.application.envelopes import read_attributes
from services.archive.domain.entries import Arrival, Kind
from services.archive.domain.leaves import leaf_bytes, make_leaf

EVENT: dict[str, Any] = {
    "specversion": "1.0", "id": "one", "source": "/pingyi/x", "type": "cn.pingyi.x.y.v1",
    "correlationid": "one", "time": "2026-03-02T04:00:00Z", "receivedat": "2026-03-02T04:00:00Z", "data": {},
}  # fmt: skip
SUBJECT = "feedback.v1.submitted.3607.360721"


def kind_if_alike(raw: bytes, subject: str = SUBJECT) -> Kind:
    """What the archive takes ``raw`` for; the verifier has to find its leaf in order."""
    attributes = read_attributes(raw)
    leaf = make_leaf(Arrival("FEEDBACK", 1, subject, raw, attributes), 0, {})
    line: dict[str, Any] = {"index": 0, "leaf": leaf_bytes(leaf).decode()}
    if attributes is not None:
        line["envelope"] = b64encode(raw).decode()
    verifier = Verifier(Path("nowhere"), [], [])
    verifier.feed(json.loads(json.dumps(line)))
    assert verifier.wrong == 0
    return leaf.kind


def written(**fields: object) -> bytes:
    return json.dumps({**EVENT, **fields}).encode()


TIMES = st.builds(
    "{}-{:02}-{:02}{}{:02}:{:02}:{:02}{}{}".format,
    st.sampled_from(["0001", "0999", "1970", "2026", "9999"]),
    st.sampled_from([1, 2, 12]),
    st.sampled_from([1, 28, 29, 31]),
    st.sampled_from(["T", "t", " "]),
    st.sampled_from([0, 12, 23, 24]),
    st.sampled_from([0, 59]),
    st.sampled_from([0, 59, 60]),
    st.one_of(st.just(""), st.text("0123456789", min_size=1, max_size=12).map(".{}".format)),
    st.sampled_from(["Z", "z", "+08:00", "-00:00", "+23:59", "-11:30", "+0000", "+12:59", ""]),
)


@given(TIMES)
@example("2026-01-01T00:00:00.9999996Z")
@example("2026-01-01T00:00:00.1239995Z")
@example("2026-01-01T00:00:00.1239994999Z")
@example("2026-01-01T00:00:00.12+08:59")
@example("2026-01-01t00:00:00z")
@example("9999-12-31T23:59:59.9999999Z")
@example("2026-06-30T23:59:60Z")
@settings(max_examples=100)
def test_times_of_any_form_are_read_alike(time: str) -> None:
    assert kind_if_alike(written(time=time)) in Kind
    assert kind_if_alike(written(receivedat=time)) in Kind


@pytest.mark.parametrize(
    "subject",
    ["x", "feedback.v1", "a.b.c.3607", "a.b.c.3607.all", "a.b.c.all.all", "a.b.c.all.360721", "a.b.c.d.e.f.g",
     "a.b.c..", "a.b.c.3607."],
)  # fmt: skip
def test_places_of_subjects_of_any_length_are_read_alike(subject: str) -> None:
    assert kind_if_alike(written(), subject) is Kind.EVENT


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"synthetic": True}, Kind.EVENT),
        ({"synthetic": None}, Kind.UNPARSEABLE),
        ({"data": {"actor": {"a": 1}, "decided_by": "", "by": "post"}}, Kind.EVENT),
        ({"data": {"actor": "x" * 257, "by": "y" * 256}}, Kind.EVENT),
        ({"data": {"channel": "x" * 257}}, Kind.UNPARSEABLE),
        ({"data": {"channel": None}}, Kind.EVENT),
        ({"data": {"actor": '赣州"\\\u2028\x7f'}, "source": "/\t\x01"}, Kind.EVENT),
        ({"id": "\ud800"}, Kind.UNPARSEABLE),
    ],
)
def test_attributes_of_any_kind_are_read_alike(fields: dict[str, Any], kind: Kind) -> None:
    assert kind_if_alike(written(**fields)) is kind


@pytest.mark.parametrize(
    ("rest", "kind"),
    [
        (b',"z":' + b"9" * 5000 + b"}", Kind.EVENT),
        (b',"z":-' + b"9" * 5000 + b"}", Kind.EVENT),
        (b',"z":1e999}', Kind.EVENT),
        (b',"z":NaN}', Kind.UNPARSEABLE),
        (b',"data":{"by":"the last one counts"}}', Kind.EVENT),
        (b',"z":' + b"[" * 400 + b"]" * 400 + b"}", Kind.EVENT),
        (b',"z":"\\ud800"}', Kind.UNPARSEABLE),
    ],
)
def test_what_an_event_holds_besides_is_read_alike(rest: bytes, kind: Kind) -> None:
    assert kind_if_alike(written()[:-1] + rest) is kind
