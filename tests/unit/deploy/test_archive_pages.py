"""Reading the archive's pages, against a recorded answer instead of a service."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from deploy.local import api
from deploy.local.errors import ServiceRefusedError
from deploy.local.history.archive import read_archived_feedback, read_lines
from deploy.local.history.moments import parse_moment
from deploy.local.history.records import read_archived_records
from shared.testing import builders

URL = "http://archive"
Asked = list[dict[str, str]]
Serve = Callable[..., Asked]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Let the archive answer with these pages, one after the other; gives what it was asked with."""

    def start(*pages: list[bytes], status: int = 200) -> Asked:
        asked: Asked = []

        def answer(request: httpx.Request) -> httpx.Response:
            number = len(asked)
            asked.append(dict(request.url.params))
            following = b'"c%d"' % number if number + 1 < len(pages) else b"null"
            return httpx.Response(
                status, content=b'{"items":[%b],"next":%b}' % (b",".join(pages[number]), following)
            )

        transport = httpx.MockTransport(answer)
        monkeypatch.setattr(api, "client", lambda _timeout_s: httpx.Client(transport=transport))
        return asked

    return start


def entry(sequence: int, event: bytes, stream: str = "FEEDBACK") -> bytes:
    subject = "feedback.v1.submitted.3607.360721"
    return b'{"index":1,"stream":"%b","sequence":%d,"subject":"%b","event":%b}' % (
        stream.encode(), sequence, subject.encode(), event,
    )  # fmt: skip


def record(list_key: str, position: int) -> bytes:
    data = builders.ranking_revised(list=list_key, positions={"FEEDBACK": position})
    at = datetime(2026, 11, 20, 4, tzinfo=UTC)
    event = builders.envelope_of(data, time=at).model_copy(update={"rules": "sha256:77"})
    return entry(position, event.to_json(), "RANKING")


def test_pages_are_read_to_the_end_with_their_bytes_as_they_are(serve: Serve) -> None:
    asked = serve([entry(1, b'{"a": 1.0}'), entry(2, b"null")], [entry(5, b'{"b":"\xe8\xaf\x84"}')])
    found = [message for page in read_archived_feedback(URL) for message in page]
    assert [(message.sequence, message.data) for message in found] == [
        (1, b'{"a": 1.0}'), (2, b"null"), (5, '{"b":"评"}'.encode()),
    ]  # fmt: skip
    assert asked == [
        {"stream": "FEEDBACK", "order": "asc", "limit": "500"},
        {"stream": "FEEDBACK", "order": "asc", "limit": "500", "cursor": "c0"},
    ]


def test_an_exported_entry_is_one_line_even_if_its_producer_broke_the_line(serve: Serve) -> None:
    serve([entry(1, b'{\r\n "text": "a\\nb"\n}')])
    (line,) = read_lines(URL, "FEEDBACK")
    assert b"\n" not in line
    assert json.loads(line)["event"] == {"text": "a\nb"}


def test_records_are_read_backwards_until_they_are_enough(serve: Serve) -> None:
    asked = serve(
        [record("city.all.30", 40), record("city.all.30", 30)],
        [record("window.all.30", 20), record("city.all.30", 10)],
        [record("county.all.30", 5)],
    )
    found = read_archived_records(
        URL, parse_moment("seq:35"), lambda records: {"city.all.30", "window.all.30"} <= records.keys()
    )
    assert {key: each.position for key, each in found.items()} == {"city.all.30": 30, "window.all.30": 20}
    assert len(asked) == 2
    assert asked[0]["order"] == "desc"
    assert "to" not in asked[0]


def test_a_time_limits_what_is_asked_for(serve: Serve) -> None:
    asked = serve([record("city.all.30", 40)])
    moment = parse_moment("2026-11-20T04:00:00Z")
    found = read_archived_records(URL, moment, lambda _records: False)
    assert found.keys() == {"city.all.30"}
    assert asked[0]["to"] == "2026-11-20T04:00:00.001Z"


def test_a_refusal_is_told(serve: Serve) -> None:
    serve([], status=503)
    with pytest.raises(ServiceRefusedError):
        list(read_lines(URL, "FEEDBACK"))
