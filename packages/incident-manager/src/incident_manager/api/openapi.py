"""The OpenAPI document, without what FastAPI says of errors: ours have another shape."""

from typing import Any

from fastapi import FastAPI

_THEIRS = ("HTTPValidationError", "ValidationError")


def install_openapi(app: FastAPI) -> None:
    """Make the app describe its error answers truthfully.

    FastAPI adds a 422 of its own to every route that has a parameter. A route that can answer 422 says so itself.
    """
    made = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            _correct(made())
        return made()

    app.openapi = document  # type: ignore[method-assign]


def _correct(document: dict[str, Any]) -> None:
    """Take FastAPI's 422 out, in place."""
    for operations in document["paths"].values():
        for operation in operations.values():
            if _is_theirs(operation["responses"].get("422", {})):
                del operation["responses"]["422"]
    for name in _THEIRS:
        document["components"]["schemas"].pop(name, None)


def _is_theirs(response: dict[str, Any]) -> bool:
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    return str(schema.get("$ref", "")).endswith("/HTTPValidationError")
