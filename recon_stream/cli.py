"""The command line: gathers the commands of each part and turns errors into one clear line.

Commands are imported when they are used, so that `--help` answers at once.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from recon_stream import __version__
from recon_stream.errors import ConfigurationError, ReconError

COMMANDS = {
    "demo": (
        "recon_stream.verify.demo:demo",
        "Start everything, send transactions with faults, prove that each was found.",
    ),
    "setup": ("recon_stream.verify.preparing:setup", "Start the local stack, create what is missing, check all of it."),
    "doctor": ("recon_stream.verify.doctor:doctor", "Check every dependency and setting, and say what to do."),
    "stack": (
        "recon_stream.stack.commands:stack",
        "Run Kafka, the registry, PostgreSQL, Valkey and Keycloak here, without Docker.",
    ),
    "tokens": ("recon_stream.security.commands:tokens", "Print an access token of each demo user."),
    "topics": ("recon_stream.topics_commands:topics", "Create and check the Kafka topics."),
    "schemas": ("recon_stream.topics_commands:schemas", "Register and check the Avro schemas."),
    "migrate": ("recon_stream.storage.commands:migrate", "Bring PostgreSQL to the schema of this version."),
    "produce": ("producers.commands:produce", "Send simulated transactions, with or without faults."),
    "worker": ("recon_stream.process.commands:worker", "Reconcile: read the feeds, publish verdicts."),
    "sink": ("recon_stream.process.commands:sink", "Write events, results, breaks and dead letters to PostgreSQL."),
    "web": ("recon_stream.process.commands:web", "Serve the dashboard, the API and the websocket."),
    "watch": ("recon_stream.verify.watch:watch", "Rates, match rate, lag and the newest mismatches, live."),
    "mismatches": ("recon_stream.verify.mismatches:mismatches", "Follow recon_mismatches as a subscriber."),
    "verify": ("recon_stream.verify.commands:verify", "Prove that nothing was lost, invented or altered."),
    "audit": ("recon_stream.verify.audit_commands:audit", "Prove that the audit trail was not tampered with."),
}
EXIT_REFUSED = 2


class LazyGroup(click.Group):
    """Knows its commands by name, imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        target = COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, name = target[0].split(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list without importing what it lists."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="recon-stream")
def cli() -> None:
    """Reconcile three feeds of transactions while they stream: exact to the cent, nothing lost.

    \b
    A first look:      recon-stream demo
    Production order:  doctor, topics create, schemas register, migrate, then worker, sink and web.

    Settings are environment variables (see .env.example); `recon-stream doctor` shows and checks them.
    """


def main() -> None:
    """Entry point of the console script."""
    try:
        check_packages()
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ReconError as error:
        click.secho(f"recon-stream: {error}", fg="red", err=True)
        sys.exit(EXIT_REFUSED)


def check_packages() -> None:
    """Refuse to start where another distribution's `agents`, `tables` or `producers` would be imported."""
    home = Path(__file__).resolve().parent.parent
    for package in ("agents", "tables", "producers", "schemas"):
        spec = find_spec(package)
        found = Path(spec.origin).resolve().parent.parent if spec is not None and spec.origin else None
        if found != home:
            raise ConfigurationError(
                f"the package `{package}` is found in {found}, not beside recon_stream in {home}: "
                "install recon-stream into an environment of its own"
            )
