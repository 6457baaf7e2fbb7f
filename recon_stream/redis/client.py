"""The connection: bounded, with timeouts, TLS by `rediss://`."""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from recon_stream.settings import Settings


def connect(settings: Settings, connections_max: int) -> Redis:
    """A client that connects when it is first used; nothing waits longer than settings.redis_timeout."""
    pool = BlockingConnectionPool.from_url(
        settings.redis_url,
        password=settings.redis_password or None,
        max_connections=connections_max,
        timeout=settings.redis_timeout,
        socket_timeout=settings.redis_timeout,
        socket_connect_timeout=settings.redis_timeout,
        health_check_interval=30,
        # one more try: the server may have closed an idle connection
        retry=Retry(NoBackoff(), 1),
    )
    return Redis(connection_pool=pool)
