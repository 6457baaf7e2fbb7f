"""What the web role may at the stores: what docs/security.md grants is enough for all that it does, and it can do nothing else."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import psycopg
import pytest
from psycopg import sql
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from recon_stream.redis.client import connect
from recon_stream.settings import Settings
from tests.security import issuer as issuers
from tests.web.live.serving import connected, serving

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"


@asynccontextmanager
async def restricted(settings: Settings) -> AsyncIterator[Settings]:
    """Settings of a user of Valkey with the rights of the document."""
    (line,) = [line for line in DOCUMENT.read_text().splitlines() if "ACL SETUSER recon-web " in line]
    name = f"web-{uuid.uuid4().hex[:8]}"
    rights = ["on", ">s3cret", *line.split()[5:]]
    assert rights[2].startswith("~")
    async with connect(settings, 1) as admin:
        await admin.execute_command("ACL", "SETUSER", name, *rights)
        try:
            url = settings.redis_url.replace("//", f"//{name}@")
            yield replace(settings, redis_url=url, redis_password="s3cret")
        finally:
            await admin.execute_command("ACL", "DELUSER", name)


async def test_the_rights_of_the_document_are_enough_for_the_web_role(database: Settings, tmp_path: Path) -> None:
    """Limits, cache, tickets, log-outs and the look at its health: nothing falls back because it may not."""
    async with issuers.serving() as issuer, restricted(database) as settings:
        theirs = {"KEYCLOAK_SERVER_URL": issuer.settings.keycloak_server_url, "RECON_TRUSTED_PROXIES": "127.0.0.1"}
        with serving(settings, tmp_path, **theirs) as web:
            session = f"session-{uuid.uuid4().hex}"
            token = issuer.token(sid=session, roles=["admin"])
            # an address of its own: the limiter counts for all tests that ask
            headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": "198.51.100.7"}
            async with aiohttp.ClientSession(web.url, headers=headers) as admin:
                for path in ("/me", "/transactions/stats", "/transactions/stats"):
                    async with admin.get(path) as answer:
                        assert answer.status == 200, await answer.text()
                async with admin.get("/admin/system-health") as answer:
                    health = await answer.json()
                async with connected(web, token) as client:
                    form = {"logout_token": issuer.logout_token(sid=session)}
                    async with (
                        aiohttp.ClientSession() as keycloak,
                        keycloak.post(f"{web.url}/backchannel-logout", data=form) as answer,
                    ):
                        assert answer.status == 204, await answer.text()
                    assert await client.closed() == 4403
            assert [each["answers"] for each in health["dependencies"] if each["name"] == "Redis"] == [True], health
            for line in ("recon_limiter_fallback_total", "recon_sessions_unknown_total"):
                assert await asyncio.to_thread(web.metric, line) == 0, line
            assert await asyncio.to_thread(web.metric, 'recon_cache_total{category="stats",outcome="hit"}') == 1
            assert "ermission" not in web.log.read_text()


async def test_the_web_role_reaches_nothing_else_in_valkey(stack: Settings) -> None:
    """What the worker has seen, other people's keys, and the server itself."""

    async def refused(redis: Redis, *command: str) -> bool:
        try:
            await redis.execute_command(*command)
        except ResponseError as error:
            # a script that may not is told in other words
            return isinstance(error, NoPermissionError) or "ACL failure" in str(error)
        return False

    async with restricted(stack) as settings, connect(settings, 1) as redis:
        for key in ("rate:x", "cache:x", "ticket:x", "ended:x"):
            assert not await refused(redis, "GET", key), key
        for command in (
            *(("GET", key) for key in ("dedupe:T1:CORE", "inflight:T1", "ratex", "x")),
            ("SET", "dedupe:T1:CORE", "x"), ("HSET", "dedupe:T1:CORE", "x", "y"), ("DEL", "dedupe:T1:CORE"), ("DEL", "rate:x"),
            ("MGET", "ended:x", "dedupe:T1:CORE"), ("KEYS", "*"), ("SCAN", "0"), ("FLUSHALL",), ("FLUSHDB",), ("CONFIG", "GET", "*"),
            ("ACL", "LIST"), ("SHUTDOWN",), ("MONITOR",), ("EVAL", "return redis.call('GET', 'dedupe:T1:CORE')", "0"), ("RENAME", "rate:x", "x"),
        ):  # fmt: skip
            assert await refused(redis, *command), command


WRITTEN_BY_OTHERS = (
    "raw_events", "dead_letters", "sink_offsets", "reconciliation_results", "breaks", "break_events",
    "result_conflicts", "verdict_rollups", "accounting",
)  # fmt: skip
APPENDED_TO = ("audit_logs", "audit_verifications", "dead_letter_actions")


async def test_the_web_role_changes_no_verdict_and_no_entry_in_postgresql(database: Settings) -> None:
    """It may read; what it writes it appends. No other right on any table, now or of one that a migration will make."""
    async with await psycopg.AsyncConnection.connect(database.database_web_url, autocommit=True) as web:
        for table in (*WRITTEN_BY_OTHERS, *APPENDED_TO):
            name = sql.Identifier(table)
            for statement in ("SELECT 1 FROM {} LIMIT 1", "DELETE FROM {}", "TRUNCATE {}", "DROP TABLE {}", "ALTER TABLE {} DISABLE TRIGGER ALL"):  # fmt: skip
                if statement.startswith("SELECT"):
                    await web.execute(sql.SQL(statement).format(name))
                    continue
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    await web.execute(sql.SQL(statement).format(name))
        for statement in (
            "UPDATE reconciliation_results SET verdict = 'MATCHED'", "UPDATE breaks SET state = 'RESOLVED'",
            "UPDATE audit_logs SET actor = 'nobody'", "UPDATE audit_verifications SET last_seq = 0",
            "UPDATE dead_letter_actions SET actor = 'nobody'", "CREATE TABLE mine (x int)",
            "INSERT INTO audit_logs DEFAULT VALUES", "INSERT INTO reconciliation_results DEFAULT VALUES", "SET ROLE recon_owner",
        ):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await web.execute(sql.SQL(statement))
        rights = await (await web.execute(RIGHTS)).fetchall()
    assert {tuple(row) for row in rights} == {("audit_verifications", "INSERT"), ("dead_letter_actions", "INSERT")}


RIGHTS = """
SELECT c.relname, p.privilege
FROM pg_class c
CROSS JOIN unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p (privilege)
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
AND has_table_privilege(current_user, c.oid, p.privilege)
"""
"""Rights on whole tables beside reading: of single columns there are those that say how an action on a dead letter ended."""
