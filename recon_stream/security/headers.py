"""What every answer says to the browser. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from recon_stream.settings import Settings, by_commas

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Cache-Control": "no-store",
}
"""Browsers heed HSTS only over TLS, so it does no harm where a proxy in front has that."""


def security_headers(settings: Settings) -> dict[str, str]:
    """Header -> value, the same for every answer. A handler may give its own Cache-Control, and name more in Vary."""
    identity = urlsplit(settings.keycloak_server_url)
    identity_origin = f"{identity.scheme}://{identity.netloc}"
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        # 'self' covers the websocket of the same origin
        "connect-src": f"'self' {identity_origin}",
        "frame-src": identity_origin,
        "form-action": f"'self' {identity_origin}",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "object-src": "'none'",
    }
    # which origin may read an answer is written on it: whoever keeps one must not give it to another origin
    kept_by = {"Vary": "Origin"} if by_commas(settings.allowed_origins) else {}
    said = "; ".join(f"{name} {value}" for name, value in policy.items())
    return _ALWAYS | kept_by | {"Content-Security-Policy": said}
