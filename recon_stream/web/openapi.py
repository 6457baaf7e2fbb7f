"""The OpenAPI 3.1 document, made from the table of endpoints. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from recon_stream import __version__
from recon_stream.security.roles import PERMISSIONS, Permission
from recon_stream.web.endpoints import Answer, Endpoint

_ABOUT = """\
Verdicts, breaks and evidence of the reconciliation of three feeds.

Instants are RFC 3339 in UTC. Amounts are strings, in minor and in major units. Lists are paged by keyset: `next` of an answer goes into
`after`. Errors are `application/problem+json` (RFC 9457). Every answer has an `X-Request-ID`. Calls are limited for each address and
endpoint; see the headers `RateLimit` and `Retry-After`.
"""
_JSON = ("application/json",)
_PARAMETER = re.compile(r"{(\w+)}")
_PROBLEMS = {
    400: "The request is not valid; `errors` names each fault.",
    401: "No access token, or one that does not hold.",
    403: "Your roles do not allow this.",
    404: "There is no such thing.",
    408: "The body did not come in time.",
    409: "It cannot be done as things stand; `detail` says why.",
    413: "The body is too large.",
    414: "The address is too long.",
    415: "The body is of another type or encoding than the one that is asked for.",
    429: "Too many calls; try again after `Retry-After`.",
    503: "Something that this needs does not answer.",
}


class ErrorItem(Answer):
    """One thing that is wrong with a request."""

    place: str
    name: str
    message: str


class ProblemDocument(Answer):
    """An error, RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[ErrorItem] | None = None


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The whole document."""
    models: list[tuple[type[BaseModel], Any]] = [(ProblemDocument, "serialization")]
    models += [(each.answers, "serialization") for each in endpoints if each.answers is not None]
    models += [(each.body, "validation") for each in endpoints if each.body is not None]
    names, schemas = models_json_schema(list(dict.fromkeys(models)), ref_template="#/components/schemas/{model}")
    paths: dict[str, dict[str, Any]] = {}
    for each in endpoints:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, names)
    return {
        "openapi": "3.1.0",
        "info": {"title": "recon-stream", "version": __version__, "description": _ABOUT, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }  # fmt: skip


def _operation(each: Endpoint, names: Any) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": each.name,
        "summary": each.summary,
        "description": _description(each),
        "tags": [each.tag],
        "parameters": _parameters(each),
        "responses": _responses(each, names),
        "security": [] if each.needs is None else [{"bearer": []}],
    }
    if each.body is not None:
        schema = names[(each.body, "validation")]
        operation["requestBody"] = {"required": True, "content": {each.body_media: {"schema": schema}}}
    return operation


def _description(each: Endpoint) -> str:
    if each.needs is None:
        return f"{each.about}\n\nPublic."
    allowed = ", ".join(role.value for role, permissions in PERMISSIONS.items() if each.needs in permissions)
    return f"{each.about}\n\nNeeds `{Permission(each.needs).value}`: {allowed}."


def _parameters(each: Endpoint) -> list[dict[str, Any]]:
    found = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1, "maxLength": 600}}
        for name in _PARAMETER.findall(each.path)
    ]
    schema = each.query.model_json_schema(by_alias=True, mode="validation")
    for name, field in schema.get("properties", {}).items():
        about = field.pop("description", "")
        parameter = {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": _inlined(field, schema),
        }
        found.append(parameter | ({"description": about} if about else {}))
    return found


def _inlined(node: Any, root: dict[str, Any]) -> Any:
    """The schema with its references replaced: parameters have no components of their own."""
    if isinstance(node, list):
        return [_inlined(item, root) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inlined(root["$defs"][node["$ref"].rsplit("/", 1)[1]], root)
    kept = {key: _inlined(value, root) for key, value in node.items() if key != "title"}
    # a parameter that is not given is absent, never null
    options = kept.pop("anyOf", None)
    if options is not None:
        (only,) = (option for option in options if option != {"type": "null"})
        kept = {key: value for key, value in kept.items() if key != "default"} | only
    return kept


def _responses(each: Endpoint, names: Any) -> dict[str, Any]:
    if each.answers is not None:
        content = {"application/json": {"schema": names[(each.answers, "serialization")]}}
    else:
        content = {media: {"schema": {"type": "object" if media in _JSON else "string"}} for media in each.media}
    responses: dict[str, Any] = {str(each.status): {"description": "As asked for.", "content": content}}
    if each.method == "GET" and each.status == 200:
        responses["304"] = {"description": "As before: it still has the ETag of `If-None-Match`."}
    for status, about in _PROBLEMS.items():
        is_ruled_out = (
            (each.needs is None and status in (401, 403))
            or (each.method == "GET" and status == 409)
            or (not each.is_limited and status == 429)
            or (each.body is None and status in (408, 413, 415))
        )
        if is_ruled_out:
            continue
        problem = {"schema": names[(ProblemDocument, "serialization")]}
        responses[str(status)] = {"description": about, "content": {"application/problem+json": problem}}
    return responses
