"""Where requests go, and where they never go: name service, TLS and real sockets."""

import threading
from pathlib import Path

import pytest

from services.notify.adapters.outbound import (
    ForbiddenTargetError,
    Outbound,
    OutboundError,
    Resolver,
    tls_context,
)
from services.notify.domain.reach import Reach
from tests.integration.notify.vendors import Vendor, certificate, receiving, server_context

pytestmark = pytest.mark.integration
HOST = "robot.example"


class Names:
    """A name service that answers with the next of its answers, the last one for ever."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, _host: str, _port: int) -> tuple[str, ...]:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def outbound(names: Names, *, loopback: bool = True, ca_file: Path | None = None) -> Outbound:
    return Outbound(Resolver(Reach(loopback=loopback), names), tls_context(ca_file), timeout_s=20.0)


async def test_the_connection_goes_to_the_checked_address_and_tls_still_asks_for_the_name(
    tmp_path: Path,
) -> None:
    certified, names = certificate(tmp_path, HOST), Names(("127.0.0.1",))
    async with receiving(Vendor(), server_context(certified)) as vendor:
        answer = await outbound(names, ca_file=certified).post(vendor.url("/x", HOST, "https"), b"{}", {})
    assert (answer.status, names.asked) == (200, 1), "one look-up for one send"
    assert vendor.server_names == [HOST]
    assert vendor.posted[0].headers["host"] == f"{HOST}:{vendor.port}"


async def test_a_certificate_for_another_name_or_of_nobody_known_is_refused(tmp_path: Path) -> None:
    other = certificate(tmp_path, "other.example")
    async with receiving(Vendor(), server_context(other)) as vendor:
        url = vendor.url("/x", HOST, "https")
        with pytest.raises(OutboundError, match=r"(?i)certificate"):
            await outbound(Names(("127.0.0.1",)), ca_file=other).post(url, b"{}", {})
        with pytest.raises(OutboundError, match=r"(?i)certificate"):
            await outbound(Names(("127.0.0.1",))).post(url, b"{}", {})
    assert vendor.posted == []


async def test_a_name_that_changes_its_mind_is_checked_at_every_send() -> None:
    names = Names(("127.0.0.1",), ("10.0.0.1",))
    sender = outbound(names)
    async with receiving(Vendor()) as vendor:
        url = vendor.url("/x", HOST)
        await sender.post(url, b"{}", {})
        with pytest.raises(ForbiddenTargetError, match=r"10\.0\.0\.1"):
            await sender.post(url, b"{}", {})
    assert len(vendor.posted) == 1


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("8.8.8.8", "10.0.0.1"),
        ("::ffff:127.0.0.1",),
        ("64:ff9b::7f00:1",),
        ("169.254.169.254",),
        ("100.64.1.1",),
    ],
)
async def test_a_name_with_one_address_inside_is_refused_whole(addresses: tuple[str, ...]) -> None:
    async with receiving(Vendor()) as vendor:
        with pytest.raises(ForbiddenTargetError):
            await outbound(Names(addresses), loopback=False).post(vendor.url("/x", HOST, "https"), b"{}", {})
    assert vendor.posted == []


async def test_odd_ways_to_write_this_machine_are_looked_up_first_and_refused() -> None:
    sender = Outbound(Resolver(Reach()), tls_context(), timeout_s=1.0)
    for host in ("2130706433", "0x7f.1", "127.1", "[::ffff:7f00:1]", "localhost"):
        with pytest.raises((ForbiddenTargetError, OutboundError)):
            await sender.post(f"https://{host}:1/", b"", {})


async def test_plain_http_never_leaves_this_machine() -> None:
    with pytest.raises(ForbiddenTargetError, match="https"):
        await outbound(Names(("8.8.8.8",))).post(f"http://{HOST}/", b"", {})


async def test_a_name_service_that_hangs_costs_one_thread_and_no_other_name_any_time() -> None:
    gate, threads, answered = threading.Event(), set[int](), threading.Event()

    def names(host: str, _port: int) -> tuple[str, ...]:
        if host == "slow.example":
            threads.add(threading.get_ident())
            gate.wait(60)
            answered.set()
        return ("127.0.0.1",)

    resolver = Resolver(Reach(loopback=True), names)
    hasty, patient = [Outbound(resolver, tls_context(), timeout_s=each) for each in (0.2, 30.0)]
    async with receiving(Vendor()) as vendor:
        for _ in range(5):
            with pytest.raises(OutboundError):
                await hasty.post(vendor.url("/x", "slow.example"), b"", {})
        await patient.post(vendor.url("/x", HOST), b"", {})
        assert not answered.is_set(), "it waited for the other name"
        gate.set()
    assert len(threads) == 1


async def test_an_unknown_name_is_tried_again_later() -> None:
    def names(_host: str, _port: int) -> tuple[str, ...]:
        raise OSError(-2, "Name or service not known")

    sender = Outbound(Resolver(Reach(), names), tls_context(), timeout_s=1.0)
    with pytest.raises(OutboundError, match="looked up"):
        await sender.post(f"https://{HOST}/", b"", {})
