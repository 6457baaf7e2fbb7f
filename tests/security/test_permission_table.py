"""The table of permissions is the one of the design, written down here a second time."""

from __future__ import annotations

import json

import pytest

from recon_stream.security.realm import DASHBOARD, REALM, REALM_FILE
from recon_stream.security.roles import PERMISSIONS, Permission, Role, permissions_of
from recon_stream.settings import Settings

TABLE = """
stats:read           y y y y
transactions:read    y y y y
accounts:read        y y y -
raw:read             y y y -
breaks:work          y - y -
dead-letters:read    y y y -
dead-letters:replay  y - y -
export               y y y -
audit:read           y y - -
reports:read         y y - -
admin:read           y y - -
admin:write          y - - -
profile              y y y y
"""


def test_each_role_may_what_the_design_says_and_nothing_else() -> None:
    """Columns: admin, auditor, operator, viewer."""
    expected = {name: cells for name, *cells in (line.split() for line in TABLE.strip().splitlines())}
    assert expected == {
        permission.value: ["y" if permission in PERMISSIONS[role] else "-" for role in Role]
        for permission in Permission
    }


def test_an_auditor_changes_nothing() -> None:
    """Who looks over others' shoulders has no hand in what they do."""
    changing = {Permission.BREAKS_WORK, Permission.DEAD_LETTERS_REPLAY, Permission.ADMIN_WRITE}
    assert not PERMISSIONS[Role.AUDITOR] & changing


def test_several_roles_give_what_any_of_them_gives_and_no_role_gives_nothing() -> None:
    """No role takes away what another gives."""
    both = permissions_of([Role.AUDITOR, Role.OPERATOR])
    assert both == PERMISSIONS[Role.AUDITOR] | PERMISSIONS[Role.OPERATOR]
    assert permissions_of([]) == frozenset()


def test_the_table_cannot_be_changed_at_run_time() -> None:
    """By nobody who happens to import it."""
    with pytest.raises(TypeError):
        PERMISSIONS[Role.VIEWER] = frozenset(Permission)  # type: ignore[index]


def test_the_levels_are_those_that_people_know() -> None:
    """They are shown; nothing is derived from them: an operator works on breaks, and the higher auditor does not."""
    assert {role.value: role.level for role in Role} == {"admin": 100, "auditor": 75, "operator": 50, "viewer": 25}


def test_the_realm_has_these_roles_and_the_clients_of_the_settings() -> None:
    """The file that Keycloak imports and the defaults of the settings name the same things."""
    realm, settings = json.loads(REALM_FILE.read_text()), Settings()
    assert [role["name"] for role in realm["roles"]["realm"]] == [role.value for role in Role]
    assert realm["realm"] == REALM == settings.keycloak_realm
    assert settings.dashboard_client_id == DASHBOARD
    assert {client["clientId"] for client in realm["clients"]} == {
        settings.keycloak_client_id,
        settings.dashboard_client_id,
    }
    mappers = [mapper for client in realm["clients"] for mapper in client["protocolMappers"]]
    assert {mapper["config"].get("included.client.audience") for mapper in mappers} == {settings.jwt_audience, None}
    assert realm["defaultSignatureAlgorithm"] == settings.jwt_algorithm
    assert realm["accessTokenLifespan"] <= 300
