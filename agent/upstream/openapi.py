"""``docs/openapi.yaml``, made from the table of operations and the types of their messages: ``python -m agent.upstream.openapi``."""

import sys
from importlib.metadata import version
from typing import Any

import msgspec
import yaml

from agent.upstream import transfer
from agent.upstream.operations import OPERATIONS, Operation

_PROBLEMS = {
    "400": "The message is no JSON.",
    "401": "A certificate of this centre is needed.",
    "403": "This caller may not do that, or his certificate is revoked.",
    "404": "There is nothing at this address.",
    "408": "The message did not arrive in time.",
    "409": "That contradicts what is kept.",
    "413": "The message is too long.",
    "422": "The message is not one of the contract; the detail names the place.",
    "503": "The centre cannot do that for the moment.",
    "507": "The archive's or the centre's disk is full; what was taken before stays.",
}
_DESCRIPTION = (
    "What rooms, a case system and the Situation Centre say to a centre, and what it answers. A caller is known by the certificate of his "
    "TLS connection alone: a room by `urn:courtroom:room:<id>` in its alternative names, others by `urn:courtroom:role:<role>`. What has "
    "been answered is durable. Times are microseconds since 1970. Lists are JSON lines."
)


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML has no types
    """Writes what is used twice twice, for people to read."""

    def ignore_aliases(self, data: object) -> bool:
        """Never an alias."""
        del data
        return True


def document() -> dict[str, Any]:
    """The whole description (OpenAPI 3.1)."""
    kinds = [kind for operation in OPERATIONS for kind in (operation.body, operation.answer) if kind is not None]
    schemas, components = msgspec.json.schema_components([*kinds, transfer.Problem], ref_template="#/components/schemas/{name}")
    named = dict(zip(map(id, [*kinds, transfer.Problem]), schemas, strict=True))
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, named)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Courtroom centre", "version": version("courtroom-agent"), "description": _DESCRIPTION},
        "security": [{"certificate": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"certificate": {"type": "mutualTLS", "description": "A certificate of the centre's own authority."}},
            "schemas": dict(sorted(components.items())),
        },
    }


def text() -> str:
    """The file."""
    made: str = yaml.dump(document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=140)
    return "# Made by `python -m agent.upstream.openapi`; not to be changed by hand.\n" + made


def _operation(operation: Operation, named: dict[int, Any]) -> dict[str, Any]:
    callers = " or ".join(sorted(operation.callers)).replace("_", " ")
    made: dict[str, Any] = {"operationId": operation.id, "summary": operation.summary, "description": f"For: {callers}."}
    if "anyone" in operation.callers:
        made["security"] = []
    if operation.parameters:
        made["parameters"] = [
            {
                "name": parameter.name,
                "in": parameter.place,
                "required": parameter.required,
                "description": parameter.doc,
                "schema": {"type": "integer", "minimum": 0, "maximum": 2**53 - 1} if parameter.schema == "integer" else {"type": "string"},
            }
            for parameter in operation.parameters
        ]
    if operation.body is not None:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": named[id(operation.body)]}}}
    kind = "application/x-ndjson" if operation.lines else "application/json"
    answer = {
        "description": "One message a line." if operation.lines else "Done.",
        "content": {kind: {"schema": named[id(operation.answer)]}},
    }
    problem = {"application/problem+json": {"schema": named[id(transfer.Problem)]}}
    made["responses"] = {str(operation.status): answer} | {
        status: {"description": words, "content": problem} for status, words in _PROBLEMS.items()
    }
    return made


if __name__ == "__main__":
    sys.stdout.write(text())
