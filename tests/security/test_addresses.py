"""Which client a request is counted for: behind which proxies it comes from, and who shares a name with it."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from recon_stream.security.addresses import client_of, counted_as

PROXIES = [ip_network("10.0.0.0/8"), ip_network("2001:db8:ffff::/48")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),  # no proxy of ours: what it says counts for nothing
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),  # the first was written by the client
        ("10.0.0.1", ["203.0.113.9", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("2001:db8:ffff::1", ["2001:db8::7"], "2001:db8::7"),
        ("10.0.0.1", ["somewhere"], "10.0.0.1"),
        ("10.0.0.1", ["fe80::1%\xff"], "fe80::1"),
    ],
)
def test_the_client_is_the_last_address_that_no_proxy_vouches_for(peer: str, forwarded: list[str], client: str) -> None:
    """Whatever stands before it."""
    assert client_of(peer, forwarded, PROXIES) == client


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:DB8:0:0:ffff:1:2:3", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),  # of a socket that takes both kinds
        ("", ""),
    ],
)
def test_ipv6_is_counted_by_the_network(address: str, name: str) -> None:
    """Who may choose among 2**64 addresses is one client; an IPv4 address is one."""
    assert counted_as(address) == name
