from ipaddress import ip_network

import pytest

from services.notify.domain.reach import Reach

INSIDE = (
    "127.0.0.1", "::1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "100.100.100.200", "0.0.0.1", "224.0.0.1", "239.1.1.1", "255.255.255.255", "192.0.2.1", "198.18.0.1",
    "240.0.0.1", "192.88.99.1", "168.63.129.16", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1",
    "ff02::1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::a00:1", "64:ff9b::808:808",
    "64:ff9b:1::1", "2002:a00:1::1", "2001:0:1::1", "2001:db8::1", "5f00::1", "3fff::1", "3fff:fff::1",
    "nonsense", "",
)  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_nothing_is_sent_to_what_is_not_public(address: str) -> None:
    assert Reach().objection(address) is not None


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "223.5.5.5", "2400:3200::1", "2606:4700::1111"])
def test_public_addresses_are_reached(address: str) -> None:
    assert Reach().objection(address) is None


def test_an_operators_own_network_is_reached_and_nothing_beside_it() -> None:
    reach = Reach((ip_network("10.20.0.0/16"),))
    assert reach.objection("10.20.3.4") is None
    assert reach.objection("10.21.0.1") is not None
    assert reach.objection("127.0.0.1") is not None


def test_link_local_addresses_are_never_reached_even_if_a_network_contains_them() -> None:
    reach = Reach((ip_network("0.0.0.0/0"), ip_network("::/0")))
    assert reach.objection("169.254.169.254") is not None
    assert reach.objection("::ffff:169.254.169.254") is not None
    assert reach.objection("fe80::1") is not None
    assert reach.objection("127.0.0.1") is not None


def test_this_machine_is_reached_in_development_alone() -> None:
    assert Reach(loopback=True).objection("127.0.0.1") is None
    assert Reach(loopback=True).objection("10.0.0.1") is not None
