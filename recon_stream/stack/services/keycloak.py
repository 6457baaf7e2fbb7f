"""Keycloak: who people are and which roles they have; its realm comes from deploy/keycloak at the first start."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from recon_stream.security.realm import API, DASHBOARD, DEMO_USERS_FILE, REALM, REALM_FILE, ensure_files
from recon_stream.stack import process
from recon_stream.stack.artifacts import KEYCLOAK, Artifact, pinned
from recon_stream.stack.downloads import unpack_zip
from recon_stream.stack.errors import StartFailed
from recon_stream.stack.files import make_folder, write_private
from recon_stream.stack.ports import HOST
from recon_stream.stack.process import Command
from recon_stream.stack.service import JAVA_ENV, SELDOM_ASKED, Context, Service, get, java
from recon_stream.stack.state import State

if TYPE_CHECKING:
    from keycloak import KeycloakAdmin

HEAP_MB = 400
ADMIN = "admin"
"""The administrator of Keycloak itself, in its realm master; the password is in stack.json."""
CONFIGURED = "configured"
"""A file with the hash of what the realm was last set to, there once a first start has come to its end."""
BUILD_TIMEOUT = 300.0
REQUEST_TIMEOUT = 10

# What Keycloak fixes when it is built; an archive that was built otherwise is another one in the cache.
BUILD_OPTIONS = ("--db=dev-file", "--health-enabled=true", "--metrics-enabled=true")
DASHBOARD_PATH = "/dashboard/"
"""Where a browser comes back to from Keycloak, as in the realm's file."""
LOGOUT_PATH = "/backchannel-logout"
"""Where Keycloak tells of the end of a session, as there."""
PROGRAMS = ("conf", "lib", "providers", "themes")

# What its own start script gives to Java. That script would stay between us and the server, and could be killed alone.
JAVA_OPTIONS = (
    "-XX:MaxMetaspaceSize=256m",
    "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
    (
        "-Djava.util.concurrent.ForkJoinPool.common.threadFactory="
        "io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory"
    ),
    "-Dpicocli.disable.closures=true",
    "-Dquarkus-log-max-startup-records=10000",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/java.security=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)


class Keycloak(Service):
    """The server with its data in a file (H2), which is right for one machine; in production it has a database."""

    name: ClassVar = "keycloak"
    title: ClassVar = "Keycloak"
    version: ClassVar = KEYCLOAK
    ports: ClassVar = ("keycloak", "keycloak-management")
    start_timeout: ClassVar = 180.0  # the first start makes tables and realm

    def artifacts(self) -> tuple[Artifact, ...]:
        """The distribution."""
        return pinned("keycloak")

    def unpack(self, context: Context) -> None:
        """Unpack and build the server into the cache, once."""
        self._programs(context)

    def prepare(self, context: Context) -> Command:
        """Make a home with data of its own around the shared programs, and lay the realm where a start imports it."""
        ensure_files()
        home, programs = make_folder(context.folders.data(self.name), 0o700), self._programs(context)
        if not (home / CONFIGURED).is_file():
            # a first start that was killed half way may have left half a realm, which no later one would complete
            shutil.rmtree(home / "data", ignore_errors=True)
        for name in PROGRAMS:
            link = home / name
            link.unlink(missing_ok=True)
            link.symlink_to(programs / name)
        imported = make_folder(home / "data" / "import", 0o700)
        # the names by which Keycloak tells a realm from users of it
        shutil.copyfile(REALM_FILE, imported / f"{REALM}-realm.json")
        shutil.copyfile(DEMO_USERS_FILE, imported / f"{REALM}-users-0.json")
        env = JAVA_ENV | {
            "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
            "KC_BOOTSTRAP_ADMIN_PASSWORD": context.state.passwords["keycloak_admin"],
            "KEYCLOAK_CLIENT_SECRET": context.state.passwords["keycloak_client"],
            "RECON_DASHBOARD_URL": dashboard_url(context),
            "RECON_WEB_URL": dashboard_url(context),
            # passwords that everybody knows need no browser to keep them from scripts
            "RECON_DEMO_DIRECT_GRANTS": "true",
        }
        options = (
            "--import-realm",
            "--cache=local",
            "--http-enabled=true",
            f"--hostname={context.state.keycloak_url}",  # whatever name a client uses: the issuer is always the same
            f"--http-host={HOST}",
            f"--http-port={context.port('keycloak')}",
            f"--http-management-host={HOST}",
            f"--http-management-port={context.port('keycloak-management')}",
        )
        argv = [*self._java(context, home), "start", "--optimized", *options]
        return Command(argv=argv, env=env, folder=home)

    async def probe(self, context: Context) -> None:
        """The realm is served."""
        path = f"/realms/{REALM}/.well-known/openid-configuration"
        await asyncio.to_thread(get, context.port("keycloak"), path)

    async def configure(self, context: Context) -> None:
        """Let browsers return, and log-outs be told, to where the web role listens now: the realm may be older than that."""
        secrets = [context.state.passwords[name] for name in ("keycloak_admin", "keycloak_client")]
        pages = [dashboard_url(context) + path for path in (DASHBOARD_PATH, LOGOUT_PATH)]
        wanted = hashlib.sha256("\n".join([*pages, *secrets]).encode()).hexdigest()
        configured = context.folders.data(self.name) / CONFIGURED
        if not configured.is_file() or configured.read_text() != wanted:
            await asyncio.to_thread(_configure_clients, context)
            write_private(configured, wanted)

    def _programs(self, context: Context) -> Path:
        (archive,) = self.artifacts()

        def unpack_and_build(file: Path, folder: Path) -> None:
            unpack_zip(file, folder)
            home = _home(folder)
            command = Command(argv=[*self._java(context, home), "build", *BUILD_OPTIONS], env=JAVA_ENV, folder=home)
            log_file = context.folders.log(self.name)
            process.run_once(command, log_file, "Keycloak could not be built", BUILD_TIMEOUT, context.lock)

        variant = hashlib.sha256(" ".join(BUILD_OPTIONS).encode()).hexdigest()[:8]
        return _home(context.cache.unpacked(archive, unpack_and_build, variant=variant))

    def _java(self, context: Context, home: Path) -> list[str]:
        return [
            *java(context, self.name, HEAP_MB, *SELDOM_ASKED, *JAVA_OPTIONS),
            f"-Dkc.home.dir={home}",
            f"-Djboss.server.config.dir={home / 'conf'}",
            "-cp",
            str(home / "lib" / "quarkus-run.jar"),
            "io.quarkus.bootstrap.runner.QuarkusEntryPoint",
        ]


def _home(folder: Path) -> Path:
    return folder / f"keycloak-{KEYCLOAK}"


def dashboard_url(context: Context) -> str:
    """Where a browser finds the web role."""
    host = context.settings.web_host
    if host in ("0.0.0.0", "::"):
        host = HOST
    return f"http://{f'[{host}]' if ':' in host else host}:{context.settings.web_port}"


def administrator(state: State) -> KeycloakAdmin:
    """A client of Keycloak's administrator for our realm; blocking."""
    from keycloak import KeycloakAdmin, KeycloakOpenIDConnection  # takes a fifth of a second, and status needs none

    return KeycloakAdmin(
        connection=KeycloakOpenIDConnection(
            server_url=state.keycloak_url,
            realm_name=REALM,
            user_realm_name="master",
            client_id="admin-cli",
            username=ADMIN,
            password=state.passwords["keycloak_admin"],
            timeout=REQUEST_TIMEOUT,
        )
    )


def _configure_clients(context: Context) -> None:
    from keycloak.exceptions import KeycloakAuthenticationError, KeycloakError

    url = dashboard_url(context)
    page = url + DASHBOARD_PATH
    logout = {"backchannel.logout.url": url + LOGOUT_PATH, "backchannel.logout.session.required": "true"}
    pages = {"baseUrl": page, "redirectUris": [page], "webOrigins": [url]}
    try:
        admin = administrator(context.state)
        _configure_client(admin, API, {}, logout)
        _configure_client(admin, DASHBOARD, pages, logout | {"post.logout.redirect.uris": page})
    except KeycloakAuthenticationError as error:
        raise StartFailed(
            f"Keycloak refuses the password in {context.folders.state_file}, which was not made with these data. "
            "Put that file back, or delete the data with `recon-stream stack reset`"
        ) from error
    except KeycloakError as error:
        raise StartFailed(f"Keycloak's clients could not be set: {error}") from error


def _configure_client(admin: KeycloakAdmin, name: str, fields: dict[str, Any], attributes: dict[str, str]) -> None:
    client_id = admin.get_client_id(name)
    if client_id is None:
        raise StartFailed(f"The realm {REALM} has no client {name}; `recon-stream stack reset` makes it anew")
    client = admin.get_client(client_id)
    wanted = client | fields | {"attributes": client["attributes"] | attributes}
    if wanted != client:
        admin.update_client(client_id, wanted)
