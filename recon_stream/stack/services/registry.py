"""Apicurio Registry with its Confluent-compatible API; schemas and their ids live in PostgreSQL and survive a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from recon_stream.stack.artifacts import REGISTRY, Artifact, pinned
from recon_stream.stack.downloads import unpack_tar
from recon_stream.stack.files import make_folder
from recon_stream.stack.ports import HOST
from recon_stream.stack.process import Command
from recon_stream.stack.service import JAVA_ENV, SELDOM_ASKED, Context, Service, get, java

HEAP_MB = 384


class Registry(Service):
    """The schema registry."""

    name: ClassVar = "registry"
    title: ClassVar = "Apicurio Registry"
    version: ClassVar = REGISTRY
    ports: ClassVar = ("registry", "registry-management")
    needs: ClassVar = ("postgres",)
    start_timeout: ClassVar = 90.0

    def artifacts(self) -> tuple[Artifact, ...]:
        """The application's archive."""
        return pinned("registry")

    def unpack(self, context: Context) -> None:
        """Unpack the application into the cache."""
        self._application(context)

    def prepare(self, context: Context) -> Command:
        """It is configured by its environment alone."""
        folder = make_folder(context.folders.data(self.name), 0o700)
        env = JAVA_ENV | {
            "QUARKUS_HTTP_HOST": HOST,
            "QUARKUS_HTTP_PORT": str(context.port("registry")),
            "QUARKUS_MANAGEMENT_HOST": HOST,
            "QUARKUS_MANAGEMENT_PORT": str(context.port("registry-management")),
            "QUARKUS_LOG_CONSOLE_COLOR": "false",
            "QUARKUS_HTTP_ACCESS_LOG_ENABLED": "false",
            "APICURIO_STORAGE_KIND": "sql",
            "APICURIO_STORAGE_SQL_KIND": "postgresql",
            "APICURIO_DATASOURCE_URL": f"jdbc:postgresql://{HOST}:{context.port('postgres')}/registry",
            "APICURIO_DATASOURCE_USERNAME": "registry",
            "APICURIO_DATASOURCE_PASSWORD": context.state.passwords["registry"],
            "APICURIO_DATASOURCE_JDBC_INITIAL-SIZE": "2",
            "APICURIO_DATASOURCE_JDBC_MIN-SIZE": "2",
            "APICURIO_DATASOURCE_JDBC_MAX-SIZE": "8",
        }
        jar = self._application(context) / "quarkus-run.jar"
        return Command(
            argv=[*java(context, self.name, HEAP_MB, *SELDOM_ASKED), "-jar", str(jar)], env=env, folder=folder
        )

    async def probe(self, context: Context) -> None:
        """The API that clients use lists the subjects."""
        await asyncio.to_thread(get, context.port("registry"), "/apis/ccompat/v7/subjects")

    def _application(self, context: Context) -> Path:
        (archive,) = self.artifacts()
        folder = context.cache.unpacked(archive, unpack_tar)
        return next(folder.rglob("quarkus-run.jar")).parent
