import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.intake.entrypoints.bodies import read_any
from services.intake.entrypoints.plain_rating import read_plain

ODD = ["", " ", "a:b", "a\u0000b", "a\tb", "\u3000", "e\u0301", "\ud83d\ude00", "\ud800", "x" * 200, "办件"]
ODDITIES: st.SearchStrategy[object] = st.sampled_from(
    [*ODD, None, 0, 5.0, True, [], {}, {"service": 5}, "web", "WEB"]
)
TIMES = st.sampled_from(
    [
        "2026-07-01T00:00:00Z", "2026-07-01T08:00:00.1239999+08:00", "2026-07-01T00:00:00+0800",
        "2026-07-01 00:00:00Z", "2026-07-01t00:00:00z", "2026-07-01T00:00:00", "20260701T00:00:00.000Z",
    ]
)  # fmt: skip
GRADES = st.integers(0, 6)
MEMBERS = {
    "unit_id": st.sampled_from(["U000200", "U000200", "u" * 65]),
    "grade": GRADES,
    "dimensions": st.dictionaries(st.sampled_from(["service", "image", "other"]), st.none() | GRADES),
    "source": st.sampled_from(["public", "self", "nobody"]),
    "channel": st.sampled_from(["qr", "assessor", "import", "QR"]),
    "transaction_id": st.text(max_size=3),
    "client_ref": st.text(max_size=3),
    "text": st.text(max_size=9),
    "contact": st.dictionaries(
        st.sampled_from(["name", "phone", "id_number", "email", "account", "other"]),
        st.sampled_from(["13800138000", "张三:a", " ", "", "a\u0001b", None]),
    ),
    "device_id": st.text(max_size=3),
    "occurred_at": TIMES,
    "token": st.text(max_size=3),
    "other": st.just(1),
}
MEMBER = st.sampled_from(list(MEMBERS)).flatmap(
    lambda name: st.tuples(st.just(name), st.one_of(MEMBERS[name], MEMBERS[name], ODDITIES))
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A rating, of which something may be odd, or a name come twice."""
    members: list[tuple[str, object]] = [
        ("unit_id", "U000200"),
        ("grade", 5),
        *draw(st.lists(MEMBER, max_size=5)),
    ]
    if not draw(st.booleans()):
        members = list(dict(members).items())
    ascii_only = draw(st.booleans())
    colon = draw(st.sampled_from([":", ": ", "\t:\n"]))
    written = (
        f"{json.dumps(name)}{colon}{json.dumps(value, ensure_ascii=ascii_only)}" for name, value in members
    )
    return f"{{{','.join(written)}}}".encode("utf-8", "surrogatepass")


@settings(max_examples=500)
@given(bodies())
def test_what_is_read_as_plain_means_what_the_full_reading_says(raw: bytes) -> None:
    plain = read_plain(raw)
    if plain is not None:
        assert plain == read_any(raw)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"channel": "terminal", "transaction_id": "2124231790572604", "client_ref": "a-1"},
        {"occurred_at": "2026-07-01T08:00:00.123+08:00", "text": "等了很久:四十分钟\u3000", "token": " x "},
        {"source": "self", "channel": "assessor", "dimensions": {"image": 1, "service": 5}, "text": " "},
        {"device_id": "kiosk 7", "text": "e\u0301"},
        {"contact": {"phone": "138 0013 8000", "name": "张三:", "email": " "}},
        {"contact": {"name": "", "account": "\u3000"}, "dimensions": {}},
    ],
)
def test_ratings_as_nearly_all_are_written_are_plain(more: dict[str, object]) -> None:
    raw = json.dumps({"unit_id": "U000200", "grade": 5} | more, ensure_ascii=False).encode()
    assert read_plain(raw) == read_any(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"unit_id":"U000200","grade":5',
        b'{"unit_id":"U000200","grade":5,"grade":1}',
        b'{"unit_id":"U000200","grade":5,"dimensions":{"image":1,"image":5}}',
        b'{"unit_id":"U000200","grade":5,"text":null}',
        b'{"unit_id":"U000200","grade":5,"text":"\x7f"}',
        b'{"unit_id":"U000200","grade":5,"client_ref":" "}',
        b'{"unit_id":"U000200","grade":5,"contact":{"phone":"1","phone":"2"}}',
        b'{"unit_id":"U000200","grade":5,"contact":{"phone":"\x7f"}}',
        b'{"unit_id":"U000200","grade":5,"contact":{"phone":null}}',
        b'{"unit_id":"U000200","grade":6}',
        b'{"unit_id":"U000200","grade":5,"text":"\\u0041"}',
    ],
)
def test_everything_else_is_left_to_the_full_reading(raw: bytes) -> None:
    assert read_plain(raw) is None
