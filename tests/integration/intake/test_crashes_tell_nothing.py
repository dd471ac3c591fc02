"""An exception in the midst of a citizen's data: neither the log nor the answer repeats any of it."""

import io
from typing import Any, NoReturn

import pytest
from nats.aio.client import Client

from services.intake.adapters.sealing import AesGcmSealer
from services.intake.domain.submission import Contact
from shared.observability.logging import configure_logging
from tests.integration.intake.conftest import RATING, Intake

NAME, PHONE, TEXT = "欧阳建国", "13912345678", "张三在窗口收了我两百元"


async def test_a_defect_that_quotes_what_it_was_given_leaks_nothing(
    intake: Intake, broker: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: AesGcmSealer, event_id: str, text: str | None, contact: Contact | None) -> NoReturn:
        given: dict[str, Any] = contact.given() if contact else {}
        raise ValueError(f"can't seal {text!r} for {given} ({event_id}): {NAME} {PHONE}") from KeyError(text)

    monkeypatch.setattr(AesGcmSealer, "seal", fail)
    stream = io.BytesIO()
    configure_logging("intake", "DEBUG", stream=stream)
    body = RATING | {"text": TEXT, "contact": {"name": NAME, "phone": PHONE}}
    answer = await intake.submit(body)
    lines = await intake.submit_lines(
        '{"unit_id":"U000200","grade":1,"client_ref":"x","text":"' + TEXT + '"}'
    )
    assert (answer.status_code, lines.status_code) == (500, 500)
    logged = stream.getvalue().decode()
    assert "ValueError" in logged, "the defect is told"
    assert "in fail" in logged, "and its place"
    for told in (logged, answer.text, lines.text, (await intake.http.get("/metrics")).text):
        for word in (NAME, PHONE, TEXT, "张三", "两百元"):
            assert word not in told
            assert word.encode("unicode_escape").decode() not in told
    assert broker.is_connected
