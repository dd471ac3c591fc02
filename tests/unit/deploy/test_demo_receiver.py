"""The demonstration's receiver: what it says of how long alerts took."""

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from deploy.local.demo.receiver import Inbox, WebhookReceiver
from deploy.local.demo.run import told_of
from deploy.local.demo.tour import Told, show_alerts, show_told

KEY = bytes(range(32))


def deliver(receiver: WebhookReceiver, alert_id: str, known_at: float, key: bytes = KEY) -> bool:
    moment = datetime.fromtimestamp(known_at, UTC).isoformat()
    body = json.dumps({"timestamp": moment, "data": {}}).encode()
    digest = hmac.new(key, f"{alert_id}.1.".encode() + body, hashlib.sha256).digest()
    return receiver.accept(alert_id, "1", f"v1,{base64.b64encode(digest).decode()}", body)


def test_waits_count_from_the_event_to_the_first_arrival_without_what_was_before(
    tmp_path: Path,
) -> None:
    key = tmp_path / "webhook.key"
    key.write_text(KEY.hex())
    with WebhookReceiver(key) as receiver:
        now = time.time()
        assert deliver(receiver, "old", now - 3600)
        assert deliver(receiver, "a", now - 0.5)
        assert deliver(receiver, "b", now - 2)
        (fast, slow) = receiver.inbox.waits_s(now - 60)
        late = time.time() - now
        assert 0.5 <= fast <= 0.5 + late
        assert 2 <= slow <= 2 + late
        time.sleep(0.05)
        assert deliver(receiver, "a", now - 0.5), "a repeat"
        assert not deliver(receiver, "forged", now, key=bytes(32))
        assert receiver.inbox.waits_s(now - 60) == [fast, slow]


def test_an_alert_is_told_when_the_first_channel_has_it() -> None:
    def alert(known: str, *ends: str) -> dict[str, Any]:
        return {"known_at": known, "deliveries": [{"channel": "x", "at": at} for at in ends]}

    since = datetime(2026, 11, 26, 8, 0, tzinfo=UTC).timestamp()
    alerts = [
        alert("2026-11-26T08:00:01Z", "2026-11-26T08:00:03Z", "2026-11-26T08:00:01.400Z"),
        alert("2026-11-26T08:00:02Z"),
        alert("2026-11-26T07:59:59Z", "2026-11-26T09:00:00Z"),
    ]
    assert told_of(alerts, Inbox(), since) == Told(0.4, 0.4, 1)
    assert told_of(alerts[1:], Inbox(), since) is None


def test_the_line_says_whether_the_goal_is_reached() -> None:
    for p99_s, verdict in ((0.98, "达到"), (1.02, "未达到")):
        console = Console(width=200, record=True)
        show_told(console, Told(0.41, p99_s, 2331, 0.5, 1.2))
        text = console.export_text()
        assert f"p50 0.41 秒，p99 {p99_s:.2f} 秒（2331 条预警" in text
        assert "p50 0.50 秒，p99 1.20 秒（由外部接收端测得" in text
        assert f"目标 1 秒：{verdict} " in text


def test_of_a_receiver_to_whom_no_alert_goes_nothing_is_said() -> None:
    for inbox, said in ((Inbox(), True), (None, False)):
        console = Console(record=True, width=100)
        show_alerts(console, [], {"bad_review": 3}, inbox)
        text = console.export_text()
        assert "bad_review 3" in text
        assert ("回调接收端" in text) is said
