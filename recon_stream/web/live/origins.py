"""Which pages may open a socket: browsers send cookies and the page's origin with any upgrade, and ask nobody before. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def may_connect(origins: Sequence[str], host: str, allowed: Sequence[str]) -> bool:
    """`origins`: the Origin headers, `host`: the Host header, `allowed`: ALLOWED_ORIGINS.

    A program sends no origin and proves itself by its ticket. The page's own host counts as allowed whatever its scheme: a proxy
    in front takes TLS off.
    """
    if not origins:
        return True
    if len(origins) > 1:
        return False
    origin, host = origins[0].lower(), host.lower()
    own = (f"http://{host}", f"https://{host}") if host else ()
    return origin in (*own, *(one.lower() for one in allowed))
