"""Robots and the SMS gateway on real sockets, against receivers that follow the vendors' documentation."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.notify.adapters.outbound import Outbound, OutboundError, Resolver, tls_context
from services.notify.adapters.robots import VENDORS, RobotChannel, RobotFailedError, RobotRefusedError
from services.notify.adapters.sms import Gateway, SmsChannel, SmsFailedError, SmsRefusedError
from services.notify.domain.channels import Language
from services.notify.domain.reach import Reach
from shared.kernel.clock import SystemClock
from shared.kernel.errors import TransientError
from tests.integration.notify.vendors import SECRET, Fault, Reply, Vendor, dingtalk, feishu, receiving, wecom
from tests.unit.notify.support import alert

pytestmark = pytest.mark.integration
TIMEOUT_S = 0.5
AMPLE_S = 30.0
PATHS = {
    "wecom": "/cgi-bin/webhook/send?key=right",
    "dingtalk": "/robot/send?access_token=t",
    "feishu": "/hook/t",
}
REPLIES: dict[str, Reply] = {"wecom": wecom, "dingtalk": dingtalk, "feishu": feishu}
NASTY: dict[str, Any] = {
    "title": '<at user_id="all">所有人</at> @all',
    "body": "<@all>\r\n[点](http://evil)" + "请责任人尽快核实。" * 200,
}


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with receiving(Vendor()) as listening:
        yield listening


def outbound(timeout_s: float = AMPLE_S) -> Outbound:
    return Outbound(Resolver(Reach(loopback=True)), tls_context(), timeout_s=timeout_s)


def robot(vendor: Vendor, kind: str, form: str = "text", **changes: Any) -> RobotChannel:  # noqa: ANN401 - arguments of RobotChannel
    vendor.reply = REPLIES[kind]
    options: dict[str, Any] = {
        "secret": None if kind == "wecom" else SECRET,
        "language": Language.ZH,
        "marked": form == "markdown",
        "outbound": outbound(),
        "clock": SystemClock(),
    }
    url = vendor.url(changes.pop("path", PATHS[kind]))
    return RobotChannel(f"{kind}.duty", url, VENDORS[kind, form], **options | changes)


@pytest.mark.parametrize(("kind", "form"), list(VENDORS))
async def test_a_robot_takes_a_long_and_nasty_alert(vendor: Vendor, kind: str, form: str) -> None:
    said = await robot(vendor, kind, form).deliver(alert(**NASTY))
    assert said.endswith(" 0")
    (posted,) = vendor.posted
    text = posted.body.decode()
    assert "<at" not in text
    assert "<@" not in text
    assert "@all" not in text
    assert "http://evil" not in text
    assert alert().title not in text


@pytest.mark.parametrize(
    ("kind", "answer", "error", "pause_s"),
    [
        ("wecom", {"errcode": 45009, "errmsg": "api freq out of limit"}, RobotFailedError, 60),
        ("wecom", {"errcode": -1, "errmsg": "system busy"}, RobotFailedError, 5),
        ("wecom", {"errcode": 93000, "errmsg": "invalid webhook url"}, RobotRefusedError, None),
        ("wecom", {"errcode": 424242, "errmsg": "new"}, RobotFailedError, None),
        ("wecom", {"errcode": "0"}, RobotFailedError, None),
        ("wecom", {"errmsg": "ok"}, RobotFailedError, None),
        ("dingtalk", {"errcode": 130101, "errmsg": "send too fast"}, RobotFailedError, 600),
        ("dingtalk", {"errcode": 310000, "errmsg": "keywords not in content"}, RobotRefusedError, None),
        ("feishu", {"code": 11232, "msg": "frequency limited"}, RobotFailedError, 60),
        ("feishu", {"code": 19024, "msg": "Key Words Not Found"}, RobotRefusedError, None),
    ],
)
async def test_a_code_in_an_answer_of_200_decides_what_comes_next(
    vendor: Vendor, kind: str, answer: dict[str, Any], error: type[Exception], pause_s: float | None
) -> None:
    channel = robot(vendor, kind)
    vendor.reply = lambda _posted: answer
    with pytest.raises(error) as caught:
        await channel.deliver(alert())
    if isinstance(caught.value, TransientError):
        assert caught.value.retry_after_s == pause_s
    assert "right" not in str(caught.value), "an error never names the robot's key"


async def test_a_wrong_key_or_signature_is_refused_for_good(vendor: Vendor) -> None:
    with pytest.raises(RobotRefusedError, match="93000"):
        await robot(vendor, "wecom", path="/cgi-bin/webhook/send?key=wrong").deliver(alert())
    for kind in ("dingtalk", "feishu"):
        with pytest.raises(RobotRefusedError, match=r"310000|19021"):
            await robot(vendor, kind, secret="another").deliver(alert())


@pytest.mark.parametrize(("status", "pause_s"), [(429, 7.0), (503, 7.0), (500, 7.0)])
async def test_a_robot_that_is_busy_names_its_pause(vendor: Vendor, status: int, pause_s: float) -> None:
    vendor.status, vendor.headers = status, {"retry-after": "7"}
    with pytest.raises(RobotFailedError, match=str(status)) as caught:
        await robot(vendor, "wecom").deliver(alert())
    assert caught.value.retry_after_s == pause_s


@pytest.mark.parametrize("fault", ["hang", "half", "trickle", "drop", "garbage"])
async def test_no_whole_answer_is_no_delivery_and_ends_in_time(vendor: Vendor, fault: Fault) -> None:
    vendor.fault = fault
    async with asyncio.timeout(AMPLE_S):  # the vendor would hold it for twice as long
        with pytest.raises((RobotFailedError, OutboundError)):
            await robot(vendor, "feishu", outbound=outbound(TIMEOUT_S)).deliver(alert())


async def test_a_flood_of_an_answer_is_cut_off(vendor: Vendor) -> None:
    vendor.fault = "huge"
    with pytest.raises(RobotFailedError, match="65536 bytes"):
        await robot(vendor, "feishu").deliver(alert())


async def test_a_redirect_is_not_followed(vendor: Vendor) -> None:
    vendor.status, vendor.headers = 302, {"location": vendor.url("/elsewhere")}
    vendor.fault = "garbage"
    with pytest.raises(RobotRefusedError, match="302"):
        await robot(vendor, "wecom").deliver(alert())
    assert len(vendor.posted) == 1


def sms(vendor: Vendor, **changes: Any) -> SmsChannel:  # noqa: ANN401 - fields of Gateway
    fields: dict[str, Any] = {
        "url": vendor.url("/send"),
        "token": "t0ken",
        "code_field": "code",
        "success": frozenset({"0"}),
        "refused": frozenset({"1001"}),
        "max_characters": 70,
    }
    return SmsChannel(
        "sms.head",
        Gateway(**fields | changes),
        ["13800000000"],
        language=Language.ZH,
        outbound=outbound(),
        clock=SystemClock(),
    )


async def test_an_sms_carries_an_id_that_is_the_same_at_each_attempt(vendor: Vendor) -> None:
    for _ in range(2):
        assert await sms(vendor).deliver(alert()) == "HTTP 200, code 0"
    first, second = vendor.posted
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == first.json["id"]
    assert first.headers["authorization"] == "Bearer t0ken"
    assert first.json["to"] == ["13800000000"]
    assert len(first.json["text"]) <= 70


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (200, "1001", SmsRefusedError),
        (200, "9999", SmsFailedError),
        (401, "0", SmsRefusedError),
        (429, "0", SmsFailedError),
        (502, "0", SmsFailedError),
    ],
)
async def test_a_gateways_answer_decides_what_comes_next(
    vendor: Vendor, status: int, code: str, error: type[Exception]
) -> None:
    vendor.status, vendor.reply = status, lambda _posted: {"code": code}
    with pytest.raises(error) as caught:
        await sms(vendor).deliver(alert())
    assert "13800000000" not in str(caught.value)


async def test_many_deliveries_at_once_do_not_mix(vendor: Vendor) -> None:
    channel = sms(vendor, code_field=None)
    await asyncio.gather(*(channel.deliver(alert(number)) for number in range(8)))
    assert len({posted.json["id"] for posted in vendor.posted}) == 8
