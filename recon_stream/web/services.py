"""What the endpoints stand on, opened once for each process and closed with it."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_network

from recon_stream.redis.cache import Cache
from recon_stream.redis.client import connect
from recon_stream.redis.limiter import Limiter
from recon_stream.redis.sessions import EndedSessions
from recon_stream.security.addresses import Networks
from recon_stream.security.keys import Keys
from recon_stream.security.threats import Denials
from recon_stream.security.tokens import TokenVerifier
from recon_stream.security.users import Directory
from recon_stream.settings import Settings, by_commas
from recon_stream.storage import reading
from recon_stream.storage.audit_log import AuditAway, AuditLog
from recon_stream.storage.pool import Pool, connection_pool
from recon_stream.topics import RESULTS
from recon_stream.web.exporting import Exports
from recon_stream.web.keeping import Kept
from recon_stream.web.live.service import Live
from recon_stream.web.replaying import Replayer
from recon_stream.web.turns import Turns

logger = logging.getLogger(__name__)

REDIS_CONNECTIONS_MAX = 20
AUDIT_CONNECTIONS = 1
"""Of those of the process: reads that take all others leave the audit trail this one."""
READ_SECONDS = 5
"""Of one statement that somebody waits for."""


@dataclass(frozen=True, slots=True)
class Services:
    """Shared by all requests."""

    settings: Settings
    proxies: Networks
    verifier: TokenVerifier
    directory: Directory
    ended: EndedSessions
    limiter: Limiter
    cache: Cache
    kept: Kept
    audit: AuditLog
    denials: Denials
    pool: Pool
    """Of the role recon_web."""
    replayer: Replayer
    exports: Exports
    turns: Turns
    live: Live


@asynccontextmanager
async def services_of(settings: Settings) -> AsyncIterator[Services]:
    """Open everything; what is away now is waited for by the requests that need it."""
    async with AsyncExitStack() as stack:
        url = settings.database_web_url or settings.database_url
        pool = connection_pool(url, settings, "web", settings.database_pool_max - AUDIT_CONNECTIONS, READ_SECONDS)
        audit_pool = connection_pool(url, settings, "web audit", AUDIT_CONNECTIONS)
        for each in (pool, audit_pool):
            await each.open(wait=False)
            stack.push_async_callback(each.close)
        redis = await stack.enter_async_context(connect(settings, REDIS_CONNECTIONS_MAX))
        audit, denials = AuditLog(audit_pool), Denials()
        await stack.enter_async_context(audit.running())
        stack.callback(_tell, denials, audit, math.inf)
        storms = asyncio.create_task(_end_storms(denials, audit), name="denials")
        stack.callback(storms.cancel)
        replayer = await stack.enter_async_context(Replayer(settings, pool, audit).running())
        ended = EndedSessions(redis)
        verifier = TokenVerifier(settings, Keys(settings), ended.has)
        directory = Directory(settings)
        stack.push_async_callback(directory.close)
        cache = Cache(redis, settings.app_id)
        kept = Kept(cache, partial(reading.results_reached, pool, RESULTS))
        await stack.enter_async_context(kept.running())
        live = Live(settings, redis, verifier, ended)
        await stack.enter_async_context(live.running())
        yield Services(
            settings,
            [ip_network(network) for network in by_commas(settings.trusted_proxies)],
            verifier,
            directory,
            ended,
            Limiter(redis, limits_of(settings), settings.rate_limit_default),
            cache,
            kept,
            audit,
            denials,
            pool,
            replayer,
            Exports(),
            Turns(max(1, settings.database_pool_max // 2)),
            live,
        )


async def _end_storms(denials: Denials, audit: AuditLog) -> None:
    while True:
        await asyncio.sleep(1)
        _tell(denials, audit, time.monotonic())


def _tell(denials: Denials, audit: AuditLog, now: float) -> None:
    """Hand the trail how often was refused what is over by then."""
    for entry in denials.over(now):
        try:
            audit.note(entry)
        except AuditAway:
            logger.warning("a count of refusals could not be recorded: %s", entry)


def limits_of(settings: Settings) -> dict[str, int]:
    """Endpoint -> calls in ten seconds, from RECON_RATE_LIMITS: /transactions=20,/transactions/stats=5."""
    pairs = (part.split("=") for part in settings.rate_limits.split(",") if part)
    return {path.strip(): int(number) for path, number in pairs}
