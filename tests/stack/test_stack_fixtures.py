"""The fixtures keep what they promise to the other tests."""

from __future__ import annotations

import os

import psycopg
import pytest

from recon_stream.settings import Settings

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("attempt", [1, 2])
def test_each_test_has_a_migrated_database_of_its_own(database: Settings, attempt: int) -> None:
    """What one test writes no other sees; the roles are those of production."""
    with psycopg.connect(database.database_owner_url, autocommit=True) as owner:
        tables = {row[0] for row in owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
        assert {"raw_events", "reconciliation_results", "breaks"} <= tables
        assert "left_by_a_test" not in tables
        owner.execute("CREATE TABLE left_by_a_test (attempt int)")
    with psycopg.connect(database.database_url) as sink, pytest.raises(psycopg.errors.InsufficientPrivilege):
        sink.execute("CREATE TABLE forbidden (attempt int)")
    with psycopg.connect(database.database_reader_url) as reader, pytest.raises(psycopg.Error):
        reader.execute("DELETE FROM breaks")


def test_two_tests_share_the_stack_but_no_consumer_group(settings: Settings, stack: Settings) -> None:
    """The application's name is the test's own."""
    assert settings.app_id != stack.app_id
    assert settings.kafka_bootstrap_servers == stack.kafka_bootstrap_servers


def test_the_environment_of_the_person_at_the_keyboard_is_not_seen() -> None:
    """DATABASE_URL of a shell never leads a test to a real database."""
    assert not [name for name in os.environ if name.startswith("RECON_") or name == "DATABASE_URL"]
