"""Requests that nobody thought of, made from the OpenAPI document, by each role: no answer is a fault of ours, and each is one that
the document promises."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS, load_all_checks

from recon_stream.security.roles import Role
from recon_stream.web import api
from recon_stream.web.endpoints import ENDPOINTS
from recon_stream.web.openapi import document
from tests.web.serving import Desk

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

EXAMPLES = 12
"""Of each operation by each role: half as the document allows, half not."""
PROMISES = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "ignored_auth",
)
UPGRADES = ("/ws",)
"""What is no request and answer."""

assert api.__all__
load_all_checks()
SCHEMA = schemathesis.openapi.from_dict(document(ENDPOINTS))
OPERATIONS = {
    f"{operation.method.upper()} {operation.path}": operation
    for operation in (found.ok() for found in SCHEMA.get_all_operations())
    if operation.path not in UPGRADES
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("who", Role, ids=str)
def test_every_answer_is_one_that_the_document_promises(rest: Desk, who: Role, operation: str) -> None:
    """Whatever is asked, in range or out of it."""
    person, about = rest.person(who), OPERATIONS[operation]
    checks, asked = CHECKS.get_by_names(list(PROMISES)), 0

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=about.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE) | about.as_strategy())
    def ask(case: Any) -> None:
        nonlocal asked
        case.call_and_validate(base_url=rest.base, headers=person.headers, checks=checks)
        asked += 1

    ask()
    assert asked > 0
