"""Which address a request comes from. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

Networks = Sequence[IPv4Network | IPv6Network]


def client_of(peer: str, forwarded: Sequence[str], trusted: Networks) -> str:
    """The last address that no trusted proxy vouches for; `forwarded` are the X-Forwarded-For headers in their order.

    Whoever is no trusted proxy may write there what they like: then the peer itself counts.
    """
    chain = [part.strip() for header in forwarded for part in header.split(",")]
    address = peer
    while chain and _is_in(address, trusted):
        address = chain.pop()
    return address if _is_address(address) else peer


def _is_in(text: str, networks: Networks) -> bool:
    return _is_address(text) and any(ip_address(text) in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
