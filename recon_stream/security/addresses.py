"""Which address a request comes from. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Networks = Sequence[IPv4Network | IPv6Network]
_PREFIX_BITS = 64


def client_of(peer: str, forwarded: Sequence[str], trusted: Networks) -> str:
    """The last address that no trusted proxy vouches for; `forwarded` are the X-Forwarded-For headers in their order.

    Whoever is no trusted proxy may write there what they like: then the peer itself counts.
    """
    chain = [part.strip() for header in forwarded for part in header.split(",")]
    address = peer
    while chain and _is_in(address, trusted):
        address = chain.pop()
    # which interface of its own machine a proxy means is nothing that names a client
    address = address.partition("%")[0]
    return address if _is_address(address) else peer


def counted_as(address: str) -> str:
    """Under which name the calls of an address are counted: IPv6 by the /64 that one household or machine has to itself.

    Who has 2**64 addresses would else begin anew with each.
    """
    if not _is_address(address):
        return address
    found = ip_address(address.partition("%")[0])
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ip_network((found, _PREFIX_BITS), strict=False))


def _is_in(text: str, networks: Networks) -> bool:
    return _is_address(text) and any(ip_address(text) in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
