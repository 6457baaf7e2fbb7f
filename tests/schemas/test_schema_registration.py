"""Schemas on the real registry: registered once, compatible for ever."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from recon_stream import avro, registration, topics_commands
from recon_stream.avro import RegistryRefused, SchemaRegistry, schema_text
from recon_stream.registration import check_schemas, register_schemas, subjects
from recon_stream.settings import Settings

pytestmark = pytest.mark.stack

SUBJECTS = [
    "core_txns-value",
    "gateway_txns-value",
    "mobile_txns-value",
    "recon_results-value",
    "recon_mismatches-value",
    "recon_dead_letters-value",
]


def changed(change: Callable[[list[dict[str, Any]]], None]) -> Callable[[str], str]:
    """The schema texts of the package with a change in the fields of transaction_event."""

    def text(name: str) -> str:
        schema = json.loads(schema_text(name))
        if name == "transaction_event":
            change(schema["fields"])
        return json.dumps(schema)

    return text


async def versions(settings: Settings) -> list[tuple[int, int] | None]:
    async with SchemaRegistry(settings) as registry:
        return [await registry.latest(subject) for subject, _ in subjects(settings)]


async def test_every_topic_with_a_schema_has_its_subject_backward_compatible(settings: Settings) -> None:
    """The subjects are those of the contract, each with the package's schema, in flow order."""
    states = await register_schemas(settings)
    assert [state.subject for state in states] == SUBJECTS
    assert all(state.compatibility == "BACKWARD" and not state.problems for state in states)
    async with SchemaRegistry(settings) as registry:
        for state in states:
            assert state.schema_id is not None
            assert await registry.schema(state.schema_id) == json.loads(schema_text(state.schema))
    assert await check_schemas(settings) == states


async def test_registering_again_changes_nothing(settings: Settings) -> None:
    """Ids and versions stay: records on disk name them."""
    assert await register_schemas(settings) == await register_schemas(settings)


@pytest.mark.parametrize(
    "change",
    [
        lambda event: event.append({"name": "branch", "type": "string"}),
        lambda event: event[3].update(type="string"),
    ],
    ids=["a new field without a default", "another type"],
)
async def test_an_incompatible_change_is_refused_by_the_registry(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, change: Callable[[list[dict[str, Any]]], None]
) -> None:
    """Readers with the new schema could not read the old records: the registry keeps the old version alone."""
    await register_schemas(settings)
    before = await versions(settings)
    monkeypatch.setattr(avro, "schema_text", changed(change))
    with pytest.raises(RegistryRefused, match="core_txns-value"):
        await register_schemas(settings)
    assert await versions(settings) == before


async def test_check_names_a_schema_that_is_not_the_registered_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It changes nothing and says what to do."""
    await register_schemas(settings)
    before = await versions(settings)
    monkeypatch.setattr(registration, "schema_text", changed(lambda event: event.pop()))
    problems = {state.subject: state.problems for state in await check_schemas(settings)}
    assert [bool(problems[subject]) for subject in SUBJECTS] == [True, True, True, False, False, False]
    assert "schemas register" in problems["core_txns-value"][0]
    assert await versions(settings) == before


async def test_check_names_a_lowered_compatibility_and_register_restores_it(settings: Settings) -> None:
    """NONE is the registry's own default and would let anything in."""
    await register_schemas(settings)
    async with SchemaRegistry(settings) as registry:
        await registry.set_compatibility("core_txns-value", "NONE")
    state = (await check_schemas(settings))[0]
    assert "NONE" in state.problems[0]
    assert not (await register_schemas(settings))[0].problems


def test_the_commands_say_it_in_words_and_in_json(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Subject, id and version for people and for programs."""
    monkeypatch.setattr(topics_commands, "load_settings", lambda: settings)
    for command in ("register", "check"):
        text = CliRunner().invoke(topics_commands.schemas, [command])
        assert text.exit_code == 0
        assert "core_txns-value" in text.output
        rows = json.loads(CliRunner().invoke(topics_commands.schemas, [command, "--json"]).output)
        assert [row["subject"] for row in rows] == SUBJECTS
        assert all(row["schema_id"] > 0 and row["version"] > 0 for row in rows)
