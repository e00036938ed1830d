"""The OpenAPI document, made to say what the service does: whom it asks for a token, and what its errors are."""

from typing import Any

from fastapi import FastAPI

from incident_manager.api.authentication import SECURITY_SCHEMES
from incident_manager.api.examples import EXAMPLES
from incident_manager.api.responses import error_example, errors

_THEIRS = ("HTTPValidationError", "ValidationError")
_SCHEMA = {"$ref": "#/components/schemas/ErrorAnswer"}


def install_openapi(app: FastAPI) -> None:
    """Make the app describe its error answers truthfully.

    FastAPI adds a 422 of its own to every route that has a parameter. A route that can answer 422 says so itself. What
    every route answers that asks for a token, or takes a body, is added here.
    """
    made = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            _correct(made())
        return made()

    app.openapi = document  # type: ignore[method-assign]


def _correct(document: dict[str, Any]) -> None:
    """Correct the document, in place."""
    for operations in document["paths"].values():
        for method, operation in operations.items():
            _correct_operation(method, operation)
    for name in _THEIRS:
        document["components"]["schemas"].pop(name, None)
    for name, schema in document["components"]["schemas"].items():
        if name in EXAMPLES:
            schema["examples"] = [EXAMPLES[name]]
    document["components"]["securitySchemes"] = SECURITY_SCHEMES


def _correct_operation(method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    if _is_theirs(responses.get("422", {})):
        del responses["422"]
    common = []
    if operation["security"]:
        common += [401, 403, 429]
        [role] = next(iter(operation["security"][0].values()))
        operation["description"] = f"{operation['description']}\n\nNeeds the role `{role}`."
    if method != "get":
        common += [403]
    if "requestBody" in operation:
        common += [408, 413]
    for status, answer in errors(*common).items():
        described = {name: value for name, value in answer.items() if name != "model"}
        responses.setdefault(str(status), described)
    for status, answer in responses.items():
        if status >= "400" and not _has_a_shape_of_its_own(answer):
            example = error_example(int(status))
            answer["content"] = {"application/json": {"schema": _SCHEMA, "example": example}}
    operation["responses"] = dict(sorted(responses.items()))


def _has_a_shape_of_its_own(response: dict[str, Any]) -> bool:
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    return bool(schema) and schema != _SCHEMA


def _is_theirs(response: dict[str, Any]) -> bool:
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    return str(schema.get("$ref", "")).endswith("/HTTPValidationError")
