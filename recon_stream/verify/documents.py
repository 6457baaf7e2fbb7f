"""Documents that are written from the code, so that they cannot say anything else: settings, metrics, permissions, the API.

`python -m recon_stream.verify.documents` writes .env.example, docs/settings.md, docs/metrics.md, docs/openapi.json,
docs/live.schema.json and the table of permissions in docs/security.md; a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, Final

import click
import orjson
from prometheus_client.metrics import MetricWrapperBase

from recon_stream.metrics import catalogue
from recon_stream.security.roles import PERMISSIONS, Permission, Role
from recon_stream.settings import Settings
from recon_stream.web import api  # noqa: F401 - registers the endpoints
from recon_stream.web.endpoints import ENDPOINTS
from recon_stream.web.live.protocol import schema
from recon_stream.web.openapi import document

_COMMAND: Final = "python -m recon_stream.verify.documents"

# The setting that begins a section -> its title.
_SECTIONS: Final = {
    "state_dir": "This machine",
    "kafka_bootstrap_servers": "Kafka",
    "schema_registry_url": "Schema registry",
    "database_url": "PostgreSQL",
    "redis_url": "Redis or Valkey",
    "keycloak_server_url": "Keycloak",
    "allowed_origins": "Browsers and proxies",
    "app_id": "Roles",
    "batch_records_max": "Limits of the data path",
    "stack_ports": "Local stack",
}

_ENV_HEAD: Final = f"""\
# Every setting of recon-stream with its default: uncomment what is to differ. Written by `{_COMMAND}`.
#
# A variable NAME may also be given as NAME_FILE, a file that holds the value: so come passwords and keys.
# Strongest first: NAME, NAME_FILE, <RECON_STATE_DIR>/stack.env (written by `recon-stream stack up`), the default.
# Nothing reads this file by itself. A shell: set -a; . ./.env; set +a. systemd: EnvironmentFile=. Compose: env_file:.
# `recon-stream doctor --settings` shows what is in force and where it is from.
"""

_SETTINGS_HEAD: Final = f"""\
# Settings

Written from `recon_stream/settings.py` by `{_COMMAND}`; change it there.

Settings are environment variables, read once at start and checked then: a process with a wrong one refuses to start and
names it. Strongest first: the variable `NAME`; the file that `NAME_FILE` names (for passwords and keys); `stack.env` in
the state folder, which `recon-stream stack up` writes; the default. `recon-stream doctor --settings` shows the values in
force, where each is from, and variables with the prefix `RECON_` that nobody reads. Secrets are never shown or logged.
"""

_METRICS_HEAD: Final = f"""\
# Metrics

Written from `recon_stream/metrics/catalogue.py` by `{_COMMAND}`; change it there.

Every process serves them for Prometheus at `http://127.0.0.1:<port>/metrics`, where the port is `RECON_OPERATIONS_PORT`
(9100) plus 0 for a worker, 20 for a sink, 40 for web, plus the index of the process. No label carries the id of a
transaction, an account or a person.
"""

_ALERTS: Final = """\
## What to alert on

| when | expression | first look |
|---|---|---|
| a machine's clock is wrong | `abs(recon_clock_ahead_seconds) > 5` | NTP on that machine; verdicts do not depend on it |
| a sink falls behind and nears the retention of the topics | `sum by (topic) (recon_lag_records{job="sink"}) > 1e6` | PostgreSQL, then more sinks |
| a feed stands still while others flow | `max by (source) (recon_deadlines_held) == 1` | the source system |
| a feed is late | `max by (topic) (recon_watermark_age_seconds) > 300` | the source system, then worker lag |
| records cannot be read | `sum by (reason) (rate(recon_dead_letters_total[5m])) > 0.1` | recon_dead_letters: a schema or a producer changed |
| a producer chooses partitions otherwise | `increase(recon_misplaced_records_total[15m]) > 0` | WRONG_PARTITION in the log of the worker, `recon-stream doctor` |
| the duplicate filter is away | `rate(recon_filter_fail_open_total[5m]) > 0` | Redis; results stay right, work is dearer |
| two workers held one partition | `increase(recon_zombies_total[5m]) > 0 or increase(recon_void_rows_total[5m]) > 0` | a suspended process came back; the log of the worker |
| a record is not accounted for | `max by (check) (recon_accounting_violations) > 0` | `/status`, then `recon-stream verify` |
| nobody checks that any more | `time() - max(recon_accounting_checked_timestamp_seconds) > 300` | the log of the sink |
| a result contradicts a stored one | `increase(recon_sink_conflicts_total[5m]) > 0` | result_conflicts in PostgreSQL |
| PostgreSQL is away | `max by (table) (recon_sink_paused) == 1` | PostgreSQL; the sink resumes by itself |
| tokens are refused | `sum by (reason) (rate(recon_auth_failures_total{reason!="expired"}[5m])) > 1` | bad_signature, algorithm, wrong_issuer: somebody tries; unknown_key: Keycloak and KEYCLOAK_SERVER_URL |
| the live feed leaves results out | `increase(recon_live_skipped_total[15m]) > 0` | CPU of the web process; more of them |
| processes end and are started again | `increase(recon_process_restarts_total[15m]) > 2` | the log of the parent |
"""


def env_example() -> str:
    """The text of .env.example."""
    parts = [_ENV_HEAD]
    for title, entries in _sections():
        parts.append(f"\n# --- {title} ---\n")
        for entry in entries:
            about = _about(entry) + (" (secret)" if entry.metadata["secret"] else "")
            parts.append(f"\n# {about}\n#{entry.metadata['name']}={_default(entry)}\n")
    return "".join(parts)


def settings_markdown() -> str:
    """The text of docs/settings.md."""
    parts = [_SETTINGS_HEAD]
    for title, entries in _sections():
        parts.append(f"\n## {title}\n\n| variable | default | meaning |\n|---|---|---|\n")
        for entry in entries:
            default = f"`{_default(entry)}`" if _default(entry) else "(empty)"
            secret = " *Secret.*" if entry.metadata["secret"] else ""
            parts.append(f"| `{entry.metadata['name']}` | {default} | {_cell(_about(entry))}{secret} |\n")
    return "".join(parts)


def metrics_markdown() -> str:
    """The text of docs/metrics.md."""
    parts = [_METRICS_HEAD]
    metrics = [metric for metric in vars(catalogue).values() if isinstance(metric, MetricWrapperBase)]
    sections: dict[str, list[MetricWrapperBase]] = {"Worker": [], "Sink": [], "Web": [], "Every process": []}
    for metric in metrics:
        sections[_section_of(_name(metric))].append(metric)
    for title, members in sections.items():
        parts.append(f"\n## {title}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n")
        for metric in members:
            (family,) = metric.describe()
            # the client library has no public name for the labels
            labels = ", ".join(f"`{label}`" for label in metric._labelnames) or "-"  # noqa: SLF001
            parts.append(f"| `{_name(metric)}` | {family.type} | {labels} | {_cell(family.documentation)} |\n")
    return "".join([*parts, "\n", _ALERTS])


def openapi_json() -> str:
    """The text of docs/openapi.json, which GET /openapi.json answers too."""
    return orjson.dumps(document(ENDPOINTS), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def permissions_markdown() -> str:
    """The table of permissions, as it stands in docs/security.md."""
    heads = [f"`{role}` {role.level}" for role in Role]
    lines = [f"| permission | may | {' | '.join(heads)} |", "|---|---|" + "---|" * len(heads)]
    for permission in Permission:
        cells = ["y" if permission in PERMISSIONS[role] else "-" for role in Role]
        lines.append(f"| `{permission}` | {_cell(permission.about)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def with_permissions(text: str) -> str:
    """A document with the table of permissions between its marks; raises ValueError where it has none."""
    head, _, rest = text.partition(_PERMISSIONS_BEGIN)
    _, end, tail = rest.partition(_PERMISSIONS_END)
    if not end:
        raise ValueError(f"{_PERMISSIONS_BEGIN} and {_PERMISSIONS_END} must stand in the document")
    return f"{head}{_PERMISSIONS_BEGIN}\n\n{permissions_markdown()}\n{end}{tail}"


SECURITY: Final = "docs/security.md"
_PERMISSIONS_BEGIN: Final = f"<!-- from recon_stream/security/roles.py by `{_COMMAND}` -->"
_PERMISSIONS_END: Final = "<!-- end -->"
DOCUMENTS: Final = {
    ".env.example": env_example,
    "docs/settings.md": settings_markdown,
    "docs/metrics.md": metrics_markdown,
    "docs/openapi.json": openapi_json,
    "docs/live.schema.json": schema,
}


def _sections() -> Iterator[tuple[str, list[Field[Any]]]]:
    title, entries = "", list[Field[Any]]()
    for entry in fields(Settings):
        if entry.name in _SECTIONS:
            if entries:
                yield title, entries
            title, entries = _SECTIONS[entry.name], []
        entries.append(entry)
    yield title, entries


def _about(entry: Field[Any]) -> str:
    minimum = entry.metadata["minimum"]
    return str(entry.metadata["about"]) + (f"; at least {minimum:g}" if minimum else "")


def _default(entry: Field[Any]) -> str:
    return str(entry.default).lower() if isinstance(entry.default, bool) else str(entry.default)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _name(metric: MetricWrapperBase) -> str:
    (family,) = metric.describe()
    return f"{family.name}_total" if family.type == "counter" else family.name


_OF_WEB: Final = (
    "recon_auth_", "recon_http_", "recon_rate_", "recon_limiter_", "recon_cache_", "recon_audit_", "recon_live_",
)  # fmt: skip


def _section_of(name: str) -> str:
    if name.startswith(("recon_sink_", "recon_accounting_")):
        return "Sink"
    if name.startswith(_OF_WEB):
        return "Web"
    return (
        "Every process"
        if name in ("recon_build_info", "recon_lag_records", "recon_process_restarts_total")
        else "Worker"
    )


@click.command()
@click.argument("root", type=click.Path(file_okay=False, exists=True, path_type=Path), default=Path())
def write(root: Path) -> None:
    """Write the documents below ROOT, the top of the repository."""
    for path, text in DOCUMENTS.items():
        (root / path).write_text(text())
        click.echo(path)
    security = root / SECURITY
    security.write_text(with_permissions(security.read_text()))
    click.echo(SECURITY)


if __name__ == "__main__":
    write()
