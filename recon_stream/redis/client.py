"""The connection: bounded, with timeouts, TLS by `rediss://`."""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from recon_stream.errors import ConfigurationError
from recon_stream.settings import Settings

NO_ANSWER = (RedisError, OSError, TimeoutError, RuntimeError)
"""Whatever a call raises that got no answer. RuntimeError is what uvloop says of a write to a connection that was reset a
moment ago."""


def connect(settings: Settings, connections_max: int) -> Redis:
    """A client that connects when it is first used; nothing waits longer than settings.redis_timeout.

    Raises ConfigurationError on a URL that is none, or has options that a connection of its kind does not take.
    """
    try:
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
        # not connected: an option that it does not take would else be met in the middle of the work
        pool.connection_class(**pool.connection_kwargs)
    except (TypeError, RedisError) as error:
        raise ConfigurationError(f"REDIS_URL: {error}") from error
    except ValueError as error:
        # what it says may hold a part of the password
        hint = "is no URL like rediss://host:6379/0; special characters of a password in it are percent-encoded"
        raise ConfigurationError(f"REDIS_URL: {hint}") from error
    return Redis(connection_pool=pool)
