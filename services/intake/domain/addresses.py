"""Which network address a request really comes from."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from shared.kernel.errors import InvalidValueError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class TrustedProxies:
    """Networks whose ``X-Forwarded-For`` is believed; everybody else could write anything into it."""

    def __init__(self, networks: Iterable[str]) -> None:
        """Parse ``networks`` such as ``10.0.0.0/8``.

        Raises:
            InvalidValueError: one is not a network.
        """
        parsed: list[Network] = []
        for network in networks:
            try:
                parsed.append(ipaddress.ip_network(network.strip()))
            except ValueError as error:
                raise InvalidValueError(
                    network, "a network such as 10.0.0.0/8", "correct TRUSTED_PROXIES"
                ) from error
        self._networks = tuple(parsed)
        self._trusts = lru_cache(maxsize=4096)(self._is_trusted)

    def _is_trusted(self, address: str) -> bool | None:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return None
        return any(parsed in network for network in self._networks)

    def client_address(self, peer: str | None, forwarded_for: str | None) -> str | None:
        """The nearest address on the way here that isn't one of our proxies.

        None where there is none: a request that starts on a proxy (or on this machine) says nothing about
        a citizen, and everything that comes through it would look like one cluster.
        """
        hops = [hop.strip() for hop in (forwarded_for or "").split(",") if hop.strip()]
        for address in ([peer] if peer else []) + hops[::-1]:
            trusted = self._trusts(address)
            if trusted is None:
                return None
            if not trusted:
                return address
        return None
