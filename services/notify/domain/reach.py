"""Which addresses alerts may be sent to: public ones, and what an operator allows by name."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Network = IPv4Network | IPv6Network

_CARRIES_IPV4: Final = tuple(
    ip_network(text)
    for text in (
        "::/96",  # IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped
        "::ffff:0:0:0/96",  # IPv4-translated
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64, local
        "2002::/16",  # 6to4
        "2001::/32",  # Teredo
    )
)
"""Whoever reaches these reaches an IPv4 address that nobody has looked at."""

_NEVER: Final = tuple(
    ip_network(text)
    for text in (
        "169.254.0.0/16",  # link-local: the clouds' metadata
        "fe80::/10",
        "fec0::/10",  # site-local, given up, still routed here and there
        "168.63.129.16/32",  # metadata on a public address
        "192.88.99.0/24",  # 6to4 relays
        "5f00::/16",  # segment routing
        "3fff::/20",  # documentation; Python 3.11 takes it for public
    )
)
"""Not even where an operator allows a network that contains them."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What is allowed beside public addresses.

    Attributes:
        networks: an operator's own networks, such as that of a receiver in the same house.
        loopback: this machine, also by plain http; for development.
    """

    networks: tuple[Network, ...] = ()
    loopback: bool = False

    def objection(self, address: str) -> str | None:
        """Return why nothing may be sent to `address`, or None where it may.

        Addresses with a zone, and what is no address, are objected to.
        """
        if "%" in address:
            return "an address with a zone"
        try:
            found = ip_address(address)
        except ValueError:
            return "no IP address"
        if found.is_loopback:
            return None if self.loopback else "this machine"
        return self._objection(found)

    def _objection(self, found: IPv4Address | IPv6Address) -> str | None:
        if any(found in network for network in _CARRIES_IPV4):
            return "an IPv6 address that stands for an IPv4 one"
        if any(found in network for network in _NEVER) or found.is_link_local:
            return "a link-local or reserved address"
        if found.is_multicast:
            return "a multicast address"
        if any(found in network for network in self.networks):
            return None
        return None if found.is_global else "an address that is not public"


def is_loopback(address: str) -> bool:
    """Tell whether an IP address is this machine's."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
