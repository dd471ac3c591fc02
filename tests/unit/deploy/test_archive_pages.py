"""Reading the archive's pages, against a recorded answer instead of a service."""

import base64
import hashlib
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from deploy.local import api
from deploy.local.errors import LocalError, ServiceRefusedError
from deploy.local.history.archive import read_archived_feedback, read_lines
from deploy.local.history.moments import parse_moment
from deploy.local.history.ndjson import read_feedback_lines
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


def _archive(monkeypatch: pytest.MonkeyPatch, lines: list[dict[str, object]]) -> list[str]:
    """An archive that answers two messages at a time; what it was asked for."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.url.path} after {request.url.params['after']}")
        behind = [line for line in lines if int(str(line["sequence"])) > int(request.url.params["after"])]
        return httpx.Response(200, content="".join(f"{json.dumps(line)}\n" for line in behind[:2]))

    monkeypatch.setattr(api, "client", lambda _: httpx.Client(transport=httpx.MockTransport(answer)))
    return asked


def _archived(sequence: int, data: bytes | None, hashed: bytes | None = None) -> dict[str, object]:
    digest = hashlib.sha256(data if hashed is None else hashed) if data is not None else hashlib.sha256(b"?")
    return {
        "sequence": sequence,
        "subject": "feedback.v1.submitted.3601.360111",
        "kind": "unparseable" if data is None else "event",
        "data": None if data is None else base64.b64encode(data).decode(),
        "data_hash": digest.hexdigest(),
    }


def test_a_stream_is_read_from_the_archive_as_it_is_now_and_goes_through_a_file_unchanged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = _archive(
        monkeypatch, [_archived(3, b'{"id": 1}'), _archived(4, None), _archived(7, b'{"id":\n2}')]
    )
    (whole, rest) = read_archived_feedback("http://archive")
    assert [(each.sequence, each.data) for each in [*whole, *rest]] == [
        (3, b'{"id": 1}'), (4, b"null"), (7, b'{"id":\n2}'),
    ]  # fmt: skip
    assert asked == [f"/v1/streams/FEEDBACK/messages after {after}" for after in (0, 4, 7)]
    printed = b"".join(line + b"\n" for line in read_lines("http://archive", "FEEDBACK"))
    (again,) = read_feedback_lines(io.BytesIO(printed), "export")
    assert [(each.sequence, each.data) for each in again] == [
        (3, b'{"id": 1}'), (4, b"null"), (7, b'{"id": 2}'),
    ]  # fmt: skip


def test_bytes_that_are_not_those_that_were_archived_end_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    _archive(monkeypatch, [_archived(1, b"{}"), _archived(2, b"{}", hashed=b"others")])
    with pytest.raises(LocalError, match="FEEDBACK at sequence 2"):
        list(read_archived_feedback("http://archive"))
