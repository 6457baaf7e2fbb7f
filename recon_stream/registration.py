"""The subjects of the schema registry: one `<topic>-value` for each topic that carries one of our schemas."""

from __future__ import annotations

import json
from dataclasses import dataclass

from recon_stream.avro import SchemaRegistry, schema_text
from recon_stream.errors import ConfigurationError
from recon_stream.settings import Settings
from recon_stream.topics import topic_specs

COMPATIBILITY = "BACKWARD"


@dataclass(frozen=True, slots=True)
class SubjectState:
    """How one subject stands at the registry. `problems`: sentences that say what is wrong and what to do."""

    subject: str
    schema: str
    schema_id: int | None
    version: int | None
    compatibility: str | None
    problems: tuple[str, ...]


def subject_of(topic: str) -> str:
    """The subject under which the values of a topic are registered."""
    return f"{topic}-value"


def subjects(settings: Settings) -> list[tuple[str, str]]:
    """(subject, schema) of every topic that carries one of our schemas, in flow order.

    The order is fixed: a registry that keeps nothing over a restart then gives the same ids again.
    """
    return [(subject_of(spec.name), spec.schema) for spec in topic_specs(settings) if spec.schema]


async def register_schemas(settings: Settings) -> list[SubjectState]:
    """Register every schema under its subjects with compatibility BACKWARD; what is registered already stays.

    Raises RegistryRefused where the registry finds a schema incompatible, TransientFailure where it does not answer.
    """
    async with SchemaRegistry(settings) as registry:
        states = []
        for subject, schema in subjects(settings):
            # the level first where there is something to compare with; a subject that is not there has no level yet
            if await registry.latest(subject) is not None:
                await registry.set_compatibility(subject, COMPATIBILITY)
                await registry.register(subject, schema)
            else:
                await registry.register(subject, schema)
                await registry.set_compatibility(subject, COMPATIBILITY)
            states.append(await _state(registry, subject, schema))
        return states


async def check_schemas(settings: Settings) -> list[SubjectState]:
    """How each subject stands: registered, the same schema as ours, compatibility BACKWARD. Changes nothing."""
    async with SchemaRegistry(settings) as registry:
        return [await _state(registry, subject, schema) for subject, schema in subjects(settings)]


async def schema_id_of(registry: SchemaRegistry, topic: str) -> int:
    """The id that values of the topic are written with; ConfigurationError where nothing is registered."""
    latest = await registry.latest(subject_of(topic))
    if latest is None:
        raise ConfigurationError(f"{subject_of(topic)} is not registered: run `recon-stream schemas register`")
    return latest[0]


async def _state(registry: SchemaRegistry, subject: str, schema: str) -> SubjectState:
    latest = await registry.latest(subject)
    if latest is None:
        problem = "is not registered: run `recon-stream schemas register`"
        return SubjectState(subject, schema, None, None, None, (problem,))
    schema_id, version = latest
    level = await registry.compatibility(subject)
    problems = []
    if await registry.schema(schema_id) != json.loads(schema_text(schema)):
        problems.append(
            f"differs from schemas/{schema}.avsc: run `recon-stream schemas register`, or update this program"
        )
    if level != COMPATIBILITY:
        problems.append(f"compatibility is {level}, not {COMPATIBILITY}: run `recon-stream schemas register`")
    return SubjectState(subject, schema, schema_id, version, level, tuple(problems))
