"""`recon-stream topics` and `recon-stream schemas`: what must exist before the first record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recon_stream.registration import COMPATIBILITY, SubjectState, check_schemas, register_schemas
from recon_stream.settings import load_settings
from recon_stream.topics import TopicState, check_topics, create_topics

_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON array on standard output, for programs.")


@click.group()
def topics() -> None:
    """Create and check the Kafka topics.

    Every topic has the same number of partitions (RECON_PARTITIONS) and RECON_REPLICATION_FACTOR replicas. The
    brokers are those of KAFKA_BOOTSTRAP_SERVERS.
    """


@topics.command("create")
@_as_json
def topics_create(as_json: bool) -> None:
    """Create the topics that are not there.

    Existing topics and their data are never touched, so it may run before every start. Exit code 1 where a topic
    stands otherwise than it must; the table says what to do.
    """
    _show_topics(asyncio.run(create_topics(load_settings())), as_json)


@topics.command("check")
@_as_json
def topics_check(as_json: bool) -> None:
    """Compare the topics with what the roles need; change nothing.

    Looks at existence, partitions (the same number everywhere), replication and settings. Exit code 1 where
    something differs; the table says what to do.
    """
    _show_topics(asyncio.run(check_topics(load_settings())), as_json)


@click.group()
def schemas() -> None:
    """Register and check the Avro schemas.

    Subjects are `<topic>-value`, compatibility BACKWARD, at the Confluent-compatible registry of SCHEMA_REGISTRY_URL.
    """


@schemas.command("register")
@_as_json
def schemas_register(as_json: bool) -> None:
    """Register every schema of schemas/ under its subjects.

    What is registered already keeps its id and version. A change that readers of older data could not follow is
    refused by the registry: nothing is registered for that subject, exit code 2.
    """
    _show_subjects(asyncio.run(register_schemas(load_settings())), as_json)


@schemas.command("check")
@_as_json
def schemas_check(as_json: bool) -> None:
    """Compare the registry with schemas/; change nothing.

    Exit code 1 where a subject is missing, differs or has another compatibility; the table says what to do.
    """
    _show_subjects(asyncio.run(check_schemas(load_settings())), as_json)


def _show_topics(states: Sequence[TopicState], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([asdict(state) for state in states], indent=2))
    else:
        table = _table("Kafka topics", "topic", "partitions", "replicas", "state")
        for state in states:
            well = "created" if state.created else "ok"
            table.add_row(
                state.name,
                _number(state.partitions),
                _number(state.replication_factor),
                _verdict(state.problems, well),
            )
        _print(table, [(state.name, state.problems) for state in states])
    _exit(any(state.problems for state in states))


def _show_subjects(states: Sequence[SubjectState], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([asdict(state) for state in states], indent=2))
    else:
        table = _table(f"Schemas, compatibility {COMPATIBILITY}", "subject", "schema", "id", "version", "state")
        for state in states:
            table.add_row(
                state.subject,
                state.schema,
                _number(state.schema_id),
                _number(state.version),
                _verdict(state.problems, "ok"),
            )
        _print(table, [(state.subject, state.problems) for state in states])
    _exit(any(state.problems for state in states))


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _verdict(problems: tuple[str, ...], well: str) -> str:
    return "[red]see below[/red]" if problems else f"[green]{well}[/green]"


def _table(title: str, name: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in (name, *columns):
        # names are there to be copied: never folded
        table.add_column(column, no_wrap=True)
    return table


def _print(table: Table, problems: Sequence[tuple[str, tuple[str, ...]]]) -> None:
    console = Console()
    console.print(table)
    for name, sentences in problems:
        for sentence in sentences:
            console.print(f"[red]{escape(name)}[/red] {escape(sentence)}", soft_wrap=True, highlight=False)


def _exit(failed: bool) -> None:
    if failed:
        raise SystemExit(1)
